/*
 * Records what a process does to the files below a folder, in order, so that a test can work out
 * what a power cut would have left of them. To be preloaded (LD_PRELOAD); each call is carried out.
 *
 *   CAPTEUR_RECORD_FOLDER  the folder, as realpath(3) has it
 *   CAPTEUR_RECORD_TRACE   the file that records are appended to; not below the folder
 *   CAPTEUR_RECORD_END     the process ends, as if killed, after so many records
 *
 * One lock is held from before a call until its record is written: the records are in the order
 * in which things happened, and none is missing or half when the process ends. A sync has two, one
 * from before the call and one from after it: it covers what was there when it began.
 *
 * Calls that are not here, and system calls that go round the C library, are not recorded. Who
 * reads the trace compares what it says with what is in the folder, so that such a call shows.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* What a record says; `inode` and `number` are 0 where they mean nothing. */
enum kind {
    STARTED = 'B',    /* the process begins */
    SAID = 'P',       /* it wrote `bytes` to its standard output */
    CREATED = 'C',    /* a new file `path`, of `inode` */
    FOLDER = 'D',     /* a new folder `path`, of `inode` */
    WRITTEN = 'W',    /* `bytes` at offset `number` of `inode` */
    RESIZED = 'T',    /* `inode` now has the length `number` */
    RENAMED = 'N',    /* `path` is now called `bytes` */
    REMOVED = 'U',    /* `path` is gone */
    SYNC_BEGUN = 's', /* thread `number` is about to sync `inode` */
    SYNCED = 'S',     /* thread `number` has synced it */
};

/* How a record begins; `path_len` and `bytes_len` bytes follow. Integers as the machine has them. */
struct head {
    uint64_t inode, number;
    uint32_t path_len, bytes_len, kind, unused;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char folder[PATH_MAX];
static size_t folder_len;
static int trace = -1;
static long left;

static void record(enum kind kind, uint64_t inode, uint64_t number, const char *path,
                   const void *bytes, size_t len)
{
    struct head head = {inode, number, (uint32_t)strlen(path), (uint32_t)len, kind, 0};
    struct iovec parts[] = {
        {&head, sizeof head}, {(void *)path, head.path_len}, {(void *)bytes, len}};
    if (syscall(SYS_writev, trace, parts, 3) != (long)(sizeof head + head.path_len + len))
        abort();
    if (--left == 0) _exit(0);
}

/* Carries a call out and, where it has worked, records it. */
#define DO(call, worked, ...)            \
    ({                                   \
        pthread_mutex_lock(&lock);       \
        long done = (call);              \
        if (worked) record(__VA_ARGS__); \
        pthread_mutex_unlock(&lock);     \
        done;                            \
    })

__attribute__((constructor)) static void start(void)
{
    const char *name = getenv("CAPTEUR_RECORD_TRACE"), *end = getenv("CAPTEUR_RECORD_END");
    if (!name || !end || !realpath(getenv("CAPTEUR_RECORD_FOLDER"), folder))
        abort();
    folder_len = strlen(folder);
    left = atol(end);
    trace = (int)syscall(SYS_openat, AT_FDCWD, name, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    record(STARTED, 0, 0, "", "", 0);
}

/* The path below the folder; NULL where it is elsewhere, or nothing is recorded yet. */
static const char *below(const char *path)
{
    if (!folder_len || strncmp(path, folder, folder_len) != 0)
        return NULL;
    path += folder_len;
    return *path == '/' ? path + 1 : *path ? NULL : path;
}

static int path_of(int fd, char path[PATH_MAX])
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, PATH_MAX - 1);
    path[len < 0 ? 0 : len] = 0;
    return len > 0;
}

/* The inode of an open file or folder below the folder; 0 for others. */
static uint64_t inode_of(int fd)
{
    char path[PATH_MAX];
    struct stat data;
    return path_of(fd, path) && below(path) && fstat(fd, &data) == 0 ? data.st_ino : 0;
}

/* As `below`, for a path as system calls take it; `room` keeps it. */
static const char *name_of(int dir, const char *path, char room[PATH_MAX])
{
    if (path[0] == '/')
        return below(path);
    if (dir == AT_FDCWD ? !getcwd(room, PATH_MAX) : !path_of(dir, room))
        return NULL;
    size_t len = strlen(room);
    snprintf(room + len, PATH_MAX - len, "/%s", path);
    return below(room);
}

ssize_t pwrite64(int fd, const void *bytes, size_t len, off64_t at)
{
    uint64_t inode = inode_of(fd);
    return DO(syscall(SYS_pwrite64, fd, bytes, len, at), inode && done > 0, WRITTEN, inode,
              (uint64_t)at, "", bytes, (size_t)done);
}

ssize_t write(int fd, const void *bytes, size_t len)
{
    uint64_t inode = inode_of(fd);
    if (!inode && fd != STDOUT_FILENO) /* It may block, as a pipe does. */
        return syscall(SYS_write, fd, bytes, len);
    return DO(syscall(SYS_write, fd, bytes, len), done > 0, inode ? WRITTEN : SAID, inode,
              inode ? (uint64_t)(lseek(fd, 0, SEEK_CUR) - done) : 0, "", bytes, (size_t)done);
}

int ftruncate64(int fd, off64_t len)
{
    uint64_t inode = inode_of(fd);
    return (int)DO(syscall(SYS_ftruncate, fd, len), inode && done == 0, RESIZED, inode,
                   (uint64_t)len, "", "", 0);
}

static int synced(long call, int fd)
{
    uint64_t inode = inode_of(fd), thread = (uint64_t)syscall(SYS_gettid);
    DO(0, inode, SYNC_BEGUN, inode, thread, "", "", 0);
    int result = (int)syscall(call, fd);
    DO(0, inode && result == 0, SYNCED, inode, thread, "", "", 0);
    return result;
}

int fsync(int fd) { return synced(SYS_fsync, fd); }
int fdatasync(int fd) { return synced(SYS_fdatasync, fd); }

static int opened(const char *path, int flags, int mode)
{
    char room[PATH_MAX];
    const char *name = flags & (O_CREAT | O_TRUNC) ? name_of(AT_FDCWD, path, room) : NULL;
    if (!name)
        return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
    struct stat data;
    int old = 0;
    return (int)DO((old = stat(path, &data) == 0, syscall(SYS_openat, AT_FDCWD, path, flags, mode)),
                   done >= 0 && fstat((int)done, &data) == 0 && (!old || flags & O_TRUNC),
                   old ? RESIZED : CREATED, data.st_ino, 0, old ? "" : name, "", 0);
}

#define OPEN(OPEN_NAME)                                     \
    int OPEN_NAME(const char *path, int flags, ...)         \
    {                                                       \
        va_list rest;                                       \
        va_start(rest, flags);                              \
        int mode = flags & O_CREAT ? va_arg(rest, int) : 0; \
        va_end(rest);                                       \
        return opened(path, flags, mode);                   \
    }
OPEN(open)
OPEN(open64)

int mkdir(const char *path, mode_t mode)
{
    char room[PATH_MAX];
    const char *name = name_of(AT_FDCWD, path, room);
    struct stat data;
    return (int)DO(syscall(SYS_mkdirat, AT_FDCWD, path, mode),
                   name && done == 0 && stat(path, &data) == 0, FOLDER, data.st_ino, 0, name, "", 0);
}

int unlinkat(int dir, const char *path, int flags)
{
    char room[PATH_MAX];
    const char *name = name_of(dir, path, room);
    return (int)DO(syscall(SYS_unlinkat, dir, path, flags), name && done == 0, REMOVED, 0, 0, name,
                   "", 0);
}

int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }

int rename(const char *from, const char *to)
{
    char from_room[PATH_MAX], to_room[PATH_MAX];
    const char *old = name_of(AT_FDCWD, from, from_room), *new = name_of(AT_FDCWD, to, to_room);
    return (int)DO(syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0), old && new && done == 0,
                   RENAMED, 0, 0, old, new, strlen(new));
}
