/* A sample that breaks one rule of the lint and no other. */
int base_x;
