/* Preloaded into a process: before each operation that changes the folder $CRASH_FOLDER, it copies the folder to
   $CRASH_COPIES/NUMBER. Flushes are written to $CRASH_COPIES/flushed as "NUMBER inode": NUMBER copies came before. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static pthread_mutex_t one = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static int count = 0;
static __thread int inside = 0;
#define REAL(type, name, ...) static type (*real)(__VA_ARGS__); if (!real) real = dlsym(RTLD_NEXT, name)

static int under(const char *path) {
  const char *folder = getenv("CRASH_FOLDER");
  return folder && !strncmp(path, folder, strlen(folder)) && (path[strlen(folder)] == '/' || !path[strlen(folder)]);
}
static int of_fd(int fd, char *out) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t n = readlink(link, out, PATH_MAX - 1);
  if (n < 0) return 0;
  out[n] = 0;
  return under(out);
}
static int of_path(int dir, const char *path, char *out) {
  if (path[0] == '/') snprintf(out, PATH_MAX, "%s", path);
  else {
    char base[PATH_MAX];
    if (dir == AT_FDCWD) { if (!getcwd(base, sizeof base)) return 0; }
    else of_fd(dir, base);
    if (strlen(base) + strlen(path) + 2 > PATH_MAX) return 0;
    strcpy(out, base); strcat(out, "/"); strcat(out, path);
  }
  return under(out);
}
static void copy(const char *what, const char *path) {
  char command[4 * PATH_MAX];
  inside = 1;
  snprintf(command, sizeof command,
           "unset LD_PRELOAD; mkdir -p '%s/%d' && cp -a '%s' '%s/%d/' 2>/dev/null; "
           "find '%s' -printf '%%i %%y %%P\\n' > '%s/%d/inodes' 2>/dev/null; echo '%d %s %s' >> '%s/operations'",
           getenv("CRASH_COPIES"), count, getenv("CRASH_FOLDER"), getenv("CRASH_COPIES"), count,
           getenv("CRASH_FOLDER"), getenv("CRASH_COPIES"), count, count, what, path, getenv("CRASH_COPIES"));
  count++;
  if (system(command)) {}
  inside = 0;
}
#define ENTER(changes, what, path) int held = !inside && (changes); if (held) { pthread_mutex_lock(&one); copy(what, path); }
#define LEAVE if (held) pthread_mutex_unlock(&one)

static void flushed(int fd, const char *path) {
  struct stat s;
  if (inside || !under(path) || fstat(fd, &s)) return;
  char name[PATH_MAX];
  snprintf(name, sizeof name, "%s/flushed", getenv("CRASH_COPIES"));
  inside = 1;
  FILE *file = fopen(name, "a");
  if (file) { fprintf(file, "%d %lu\n", count, (unsigned long)s.st_ino); fclose(file); }
  inside = 0;
}

#define OPEN(name, named, dir, ...) \
int name(__VA_ARGS__, int flags, ...) { \
  mode_t mode = 0; char p[PATH_MAX]; \
  if (flags & (O_CREAT | __O_TMPFILE)) { va_list a; va_start(a, flags); mode = va_arg(a, mode_t); va_end(a); } \
  ENTER((flags & (O_CREAT | O_TRUNC)) && of_path(dir, path, p) && ((flags & O_TRUNC) || access(p, F_OK)), "open", path)
OPEN(open, "open", AT_FDCWD, const char *path)
  REAL(int, "open", const char *, int, ...); int r = real(path, flags, mode); LEAVE; return r; }
OPEN(open64, "open64", AT_FDCWD, const char *path)
  REAL(int, "open64", const char *, int, ...); int r = real(path, flags, mode); LEAVE; return r; }
OPEN(openat, "openat", at, int at, const char *path)
  REAL(int, "openat", int, const char *, int, ...); int r = real(at, path, flags, mode); LEAVE; return r; }
OPEN(openat64, "openat64", at, int at, const char *path)
  REAL(int, "openat64", int, const char *, int, ...); int r = real(at, path, flags, mode); LEAVE; return r; }

#define ON_FD(type, name, declared, types, passed) \
type name declared { char p[PATH_MAX]; ENTER(of_fd(fd, p), #name, p); \
  static type (*real) types; if (!real) real = dlsym(RTLD_NEXT, #name); type r = real passed; LEAVE; return r; }
ON_FD(ssize_t, write, (int fd, const void *b, size_t n), (int, const void *, size_t), (fd, b, n))
ON_FD(ssize_t, pwrite, (int fd, const void *b, size_t n, off_t o), (int, const void *, size_t, off_t), (fd, b, n, o))
ON_FD(ssize_t, pwrite64, (int fd, const void *b, size_t n, off64_t o), (int, const void *, size_t, off64_t), (fd, b, n, o))
ON_FD(ssize_t, writev, (int fd, const struct iovec *v, int n), (int, const struct iovec *, int), (fd, v, n))
ON_FD(ssize_t, pwritev, (int fd, const struct iovec *v, int n, off_t o), (int, const struct iovec *, int, off_t), (fd, v, n, o))
ON_FD(ssize_t, pwritev64, (int fd, const struct iovec *v, int n, off64_t o), (int, const struct iovec *, int, off64_t), (fd, v, n, o))
ON_FD(int, ftruncate, (int fd, off_t n), (int, off_t), (fd, n))
ON_FD(int, ftruncate64, (int fd, off64_t n), (int, off64_t), (fd, n))

#define FLUSH(name) int name(int fd) { char p[PATH_MAX]; int ours = of_fd(fd, p); \
  static int (*real)(int); if (!real) real = dlsym(RTLD_NEXT, #name); \
  pthread_mutex_lock(&one); int r = real(fd); if (ours && !r) flushed(fd, p); pthread_mutex_unlock(&one); return r; }
FLUSH(fsync)
FLUSH(fdatasync)

#define ON_PATH(name, dir, declared, types, passed) \
int name declared { char p[PATH_MAX]; ENTER(of_path(dir, path, p), #name, p); \
  static int (*real) types; if (!real) real = dlsym(RTLD_NEXT, #name); int r = real passed; LEAVE; return r; }
ON_PATH(unlink, AT_FDCWD, (const char *path), (const char *), (path))
ON_PATH(rmdir, AT_FDCWD, (const char *path), (const char *), (path))
ON_PATH(remove, AT_FDCWD, (const char *path), (const char *), (path))
ON_PATH(mkdir, AT_FDCWD, (const char *path, mode_t m), (const char *, mode_t), (path, m))
ON_PATH(unlinkat, at, (int at, const char *path, int f), (int, const char *, int), (at, path, f))
ON_PATH(mkdirat, at, (int at, const char *path, mode_t m), (int, const char *, mode_t), (at, path, m))
ON_PATH(rename, AT_FDCWD, (const char *path, const char *to), (const char *, const char *), (path, to))
ON_PATH(renameat, at, (int at, const char *path, int b, const char *to), (int, const char *, int, const char *), (at, path, b, to))
ON_PATH(renameat2, at, (int at, const char *path, int b, const char *to, unsigned f), (int, const char *, int, const char *, unsigned), (at, path, b, to, f))
ON_PATH(link, AT_FDCWD, (const char *path, const char *to), (const char *, const char *), (path, to))
ON_PATH(symlink, AT_FDCWD, (const char *to, const char *path), (const char *, const char *), (to, path))
ON_PATH(truncate, AT_FDCWD, (const char *path, off_t n), (const char *, off_t), (path, n))
ON_PATH(truncate64, AT_FDCWD, (const char *path, off64_t n), (const char *, off64_t), (path, n))
