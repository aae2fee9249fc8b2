/* A disk that fails at one chosen call of a process: for LD_PRELOAD.
 *
 * faultio_arm() sets a folder, a call number and what happens there. Calls on
 * paths below the folder, and on files that were opened there, are counted:
 *
 *   fail   the call returns -1 with the errno, once
 *   stay   so does each call from there on that changes something
 *   kill   SIGKILL instead of the call
 *   tear   half of a write is done, then SIGKILL; other calls as kill
 *   short  half of a write is done, and that is what it returns
 *
 * faultio_trace() gives the names of the calls so far, parted by spaces.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static char root[PATH_MAX], fault[8], trace[1 << 16];
static int code;
static long at, count;

void faultio_arm(const char *folder, long number, const char *what, int error) {
    snprintf(root, sizeof root, "%s/", folder);
    snprintf(fault, sizeof fault, "%s", what);
    at = number, code = error, count = 0, trace[0] = 0;
}

void faultio_disarm(void) { root[0] = 0; }

const char *faultio_trace(void) { return trace; }

static int below(const char *path) {
    size_t length = strlen(root);
    if (!length) return 0;
    /* The folder itself counts too: its syncs are what is tested. */
    return !strncmp(path, root, length) ||
           (strlen(path) == length - 1 && !strncmp(path, root, length - 1));
}

static int fd_below(int fd) {
    char link[40], path[PATH_MAX];
    ssize_t length;
    int before = errno;
    if (!root[0]) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    length = readlink(link, path, sizeof path - 1);
    errno = before;
    if (length < 0) return 0;
    path[length] = 0;
    return below(path);
}

static int path_below(int dir, const char *path) {
    return path[0] == '/' || dir == AT_FDCWD ? below(path) : fd_below(dir);
}

static int is(const char *what) { return !strcmp(fault, what); }

/* Counts a call; says whether it is to fail. Does not return if it is to kill. */
static int struck(const char *name, int changes) {
    int here = ++count == at;
    if (strlen(trace) + strlen(name) + 2 < sizeof trace)
        strcat(strcat(trace, name), " ");
    if (here && (is("kill") || is("tear"))) kill(getpid(), SIGKILL);
    if (!(is("fail") && here) && !(is("stay") && changes && count >= at)) return 0;
    errno = code;
    return 1;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* A call on a path or a file, whatever its arguments. */
#define CALL(type, name, where, parameters, arguments)                     \
    type name parameters {                                                 \
        if (where && struck(#name, 1)) return -1;                          \
        return REAL(name) arguments;                                       \
    }

/* A write, of which half may be done. */
#define WRITE(name, parameters, ...)                                       \
    ssize_t name parameters {                                              \
        if (!fd_below(fd)) return REAL(name)(__VA_ARGS__);                 \
        if (count + 1 == at && (is("tear") || is("short"))) {              \
            size = size > 1 ? size / 2 : size;                             \
            if (is("tear")) REAL(name)(__VA_ARGS__);                       \
        }                                                                  \
        if (struck(#name, 1)) return -1;                                   \
        return REAL(name)(__VA_ARGS__);                                    \
    }

WRITE(write, (int fd, const void *data, size_t size), fd, data, size)
WRITE(pwrite, (int fd, const void *data, size_t size, off_t where), fd, data, size,
      where)
WRITE(pwrite64, (int fd, const void *data, size_t size, off64_t where), fd, data,
      size, where)

CALL(ssize_t, writev, fd_below(fd), (int fd, const struct iovec *v, int n), (fd, v, n))
CALL(ssize_t, copy_file_range, fd_below(out),
     (int in, off64_t *from, int out, off64_t *to, size_t n, unsigned flags),
     (in, from, out, to, n, flags))
CALL(ssize_t, sendfile64, fd_below(out), (int out, int in, off64_t *from, size_t n),
     (out, in, from, n))
CALL(int, fsync, fd_below(fd), (int fd), (fd))
CALL(int, fdatasync, fd_below(fd), (int fd), (fd))
CALL(int, ftruncate, fd_below(fd), (int fd, off_t n), (fd, n))
CALL(int, ftruncate64, fd_below(fd), (int fd, off64_t n), (fd, n))
CALL(int, truncate, below(path), (const char *path, off_t n), (path, n))
CALL(int, truncate64, below(path), (const char *path, off64_t n), (path, n))
CALL(int, fchmod, fd_below(fd), (int fd, mode_t m), (fd, m))
CALL(int, rename, below(new), (const char *old, const char *new), (old, new))
CALL(int, renameat, path_below(to, new),
     (int from, const char *old, int to, const char *new), (from, old, to, new))
CALL(int, link, below(new), (const char *old, const char *new), (old, new))
CALL(int, linkat, path_below(to, new),
     (int from, const char *old, int to, const char *new, int flags),
     (from, old, to, new, flags))
CALL(int, unlink, below(path), (const char *path), (path))
CALL(int, unlinkat, path_below(dir, path), (int dir, const char *path, int flags),
     (dir, path, flags))
CALL(int, mkdir, below(path), (const char *path, mode_t m), (path, m))
CALL(int, rmdir, below(path), (const char *path), (path))

#define OPEN(name, where, parameters, ...)                                 \
    int name parameters {                                                  \
        mode_t m = 0;                                                      \
        if (flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE) {                         \
            va_list rest;                                                  \
            va_start(rest, flags);                                         \
            m = va_arg(rest, mode_t);                                      \
            va_end(rest);                                                  \
        }                                                                  \
        if (where && struck("open", flags & (O_CREAT | O_WRONLY | O_RDWR))) \
            return -1;                                                     \
        return REAL(name)(__VA_ARGS__, flags, m);                          \
    }

OPEN(open, below(path), (const char *path, int flags, ...), path)
OPEN(open64, below(path), (const char *path, int flags, ...), path)
OPEN(openat, path_below(dir, path), (int dir, const char *path, int flags, ...), dir,
     path)
OPEN(openat64, path_below(dir, path), (int dir, const char *path, int flags, ...), dir,
     path)
