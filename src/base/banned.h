/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Functions that this project does not call. Included last by base/base.h, after every system
 * header that declares them, so that a use is a compile error and not a review remark.
 * What to use instead stands beside each group.
 */

/* unbounded or silently truncating: use struct strbuf or snprintf with a checked result */
#pragma GCC poison strcpy strcat strncpy strncat sprintf vsprintf stpcpy gets
/* hidden state: use strtok_r-free parsing on (pointer, length) */
#pragma GCC poison strtok
/* no error report: use num_parse_u64() and its kin */
#pragma GCC poison atoi atol atoll
/* a shell or a PATH search between us and the program: use fork_exec() with an absolute path */
#pragma GCC poison system popen execvp execlp execvpe
/* unchecked stack growth: alloca() is a macro of glibc, so the compiler's -Werror=alloca says it */
/* descriptors below 3 or without close-on-exec: use fd_dup() */
#pragma GCC poison dup dup2
/* predictable names */
#pragma GCC poison mktemp tmpnam tempnam
/* path strings that are resolved twice */
#pragma GCC poison realpath
