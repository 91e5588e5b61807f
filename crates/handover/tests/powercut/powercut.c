/*
 * Power cut: notes what a program has written to one folder and has not synced.
 *
 * Comes in   calls of the C library for files under POWERCUT_FOLDER (an absolute path).
 * Goes out   the same calls carried out, and a journal in POWERCUT_JOURNAL: before each change what
 *            stood there, after each sync how far it reached. The test plays the cut from it.
 * Never      changes what a call does, as long as nobody cuts and the disk has room; never takes a file for durable whose
 *            bytes, or whose name, were not synced each on its own.
 *
 * POWERCUT_RUN   names the journal of this process: several may follow each other.
 * POWERCUT_NEAR  changes are counted once a path with this text is opened to be written.
 *
 * The file `trigger` in the journal's folder is shared memory of three numbers. The first counts down
 * with each change, and when it comes to 0 the process ends by SIGKILL before that change; 0: never.
 * The second counts changes. While the third is not 0 the disk is full: no file grows (ENOSPC).
 *
 * A name is durable when its folder was synced (POSIX promises no more), bytes and length when the
 * file was. Shared memory of SQLite (-shm) is none of this: it is not meant to outlive the power.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define FDS_MAX 65536

static char folder[PATH_MAX], journal[PATH_MAX], run_name[32], near_text[256];
static size_t folder_length;
static int log_fd = -1;
static int near_seen = 1;
static volatile uint64_t *trigger;
static uint64_t changes, kept_files;
static ino_t watched[FDS_MAX]; /* inode of a watched file by descriptor; 0: not watched */
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;

/* One line of the journal: this head, then the first text, then the second. */
struct head {
    uint64_t kind, number, inode, first, second, first_length, second_length;
};

static void fail(const char *what) {
    char line[256];
    int length = snprintf(line, sizeof line, "powercut: %s: %s\n", what, strerror(errno));
    syscall(SYS_write, 2, line, length);
    syscall(SYS_exit_group, 97);
}

__attribute__((constructor)) static void begin(void) {
    const char *where = getenv("POWERCUT_FOLDER"), *to = getenv("POWERCUT_JOURNAL");
    const char *run = getenv("POWERCUT_RUN"), *near = getenv("POWERCUT_NEAR");
    if (!where || !to || !*where || !*to) return;
    snprintf(folder, sizeof folder, "%s", where);
    snprintf(journal, sizeof journal, "%s", to);
    snprintf(run_name, sizeof run_name, "%s", run ? run : "0");
    if (near && *near) {
        snprintf(near_text, sizeof near_text, "%s", near);
        near_seen = 0;
    }
    char place[PATH_MAX + 64];
    snprintf(place, sizeof place, "%s/log-%s", journal, run_name);
    log_fd = syscall(SYS_openat, AT_FDCWD, place, O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
    if (log_fd < 0) fail("the journal cannot be opened");
    snprintf(place, sizeof place, "%s/trigger", journal);
    int fd = syscall(SYS_openat, AT_FDCWD, place, O_RDWR | O_CLOEXEC, 0);
    if (fd >= 0) {
        void *map = (void *)syscall(SYS_mmap, NULL, 24, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (map == MAP_FAILED) fail("the trigger cannot be mapped");
        trigger = map;
        syscall(SYS_close, fd);
    }
    folder_length = strlen(folder);
}

static int below(const char *path) {
    if (!folder_length || strncmp(path, folder, folder_length)) return 0;
    return path[folder_length] == 0 || path[folder_length] == '/';
}

static int shared_memory(const char *path) {
    size_t length = strlen(path);
    return length > 4 && !strcmp(path + length - 4, "-shm");
}

/* The whole path of a name, its folder resolved; 0 when there is none or it is not watched. */
static int whole(int at, const char *name, char *out) {
    char given[PATH_MAX * 2], parent[PATH_MAX * 2], real[PATH_MAX];
    if (!folder_length || !name) return 0;
    if (name[0] == '/') {
        snprintf(given, sizeof given, "%s", name);
    } else if (at == AT_FDCWD) {
        if (!getcwd(real, sizeof real)) return 0;
        snprintf(given, sizeof given, "%s/%s", real, name);
    } else {
        char link[64];
        snprintf(link, sizeof link, "/proc/self/fd/%d", at);
        ssize_t length = readlink(link, real, sizeof real - 1);
        if (length <= 0) return 0;
        real[length] = 0;
        snprintf(given, sizeof given, "%s/%s", real, name);
    }
    snprintf(parent, sizeof parent, "%s", given);
    char *slash = strrchr(parent, '/');
    const char *last = strrchr(given, '/') + 1;
    if (slash == parent) slash[1] = 0; else *slash = 0;
    if (!realpath(parent, real)) return 0;
    if (snprintf(out, PATH_MAX, "%s/%s", real, last) >= PATH_MAX) return 0;
    return below(out) && !shared_memory(out);
}

/* Writes a line; the turn is held. A change may be the one at which the power is cut. */
static void note(char kind, ino_t inode, uint64_t first, uint64_t second, const void *one,
                 size_t one_length, const void *two, size_t two_length) {
    struct head head = { kind, changes++, inode, first, second, one_length, two_length };
    struct iovec parts[3] = {
        { &head, sizeof head }, { (void *)one, one_length }, { (void *)two, two_length },
    };
    size_t left = sizeof head + one_length + two_length;
    ssize_t written = syscall(SYS_writev, log_fd, parts, 3);
    if (written < 0 || (size_t)written != left) fail("the journal cannot be written");
    if (!trigger) return;
    trigger[1] = changes;
    if (near_seen && trigger[0] && --trigger[0] == 0) {
        syscall(SYS_kill, getpid(), SIGKILL);
        for (;;) pause();
    }
}

static void note_path(char kind, const char *path) {
    note(kind, 0, 0, 0, path, strlen(path), NULL, 0);
}

/* What is not noted faithfully is said, so that the test does not trust this journal. */
static void beyond(const char *what) {
    pthread_mutex_lock(&turn);
    note('X', 0, 0, 0, what, strlen(what), NULL, 0);
    pthread_mutex_unlock(&turn);
}

/* Whether a descriptor is that of a watched file, and how it stands. */
static int is_watched(int fd, struct stat *now) {
    if (fd < 0 || fd >= FDS_MAX || !watched[fd]) return 0;
    if (fstat(fd, now) || !S_ISREG(now->st_mode) || now->st_ino != watched[fd]) {
        watched[fd] = 0;
        return 0;
    }
    return 1;
}

/* Bytes of an open file as they are, to be freed; fewer where it ends. */
static void *bytes_of(int fd, uint64_t from, size_t *length) {
    char link[64], *bytes = malloc(*length ? *length : 1);
    size_t got = 0;
    if (!*length) return bytes;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    int own = syscall(SYS_openat, AT_FDCWD, link, O_RDONLY | O_CLOEXEC, 0);
    if (own < 0 || !bytes) fail("a watched file cannot be read");
    while (got < *length) {
        ssize_t read = syscall(SYS_pread64, own, bytes + got, *length - got, from + got);
        if (read < 0) fail("a watched file cannot be read");
        if (read == 0) break;
        got += read;
    }
    syscall(SYS_close, own);
    *length = got;
    return bytes;
}

/* W: inode, offset, size before; old bytes; the length to be written. */
static void note_write(int fd, const struct stat *now, uint64_t offset, uint64_t length) {
    uint64_t size = now->st_size, end = offset + length;
    size_t old = offset < size ? (end < size ? end : size) - offset : 0;
    void *bytes = bytes_of(fd, offset, &old);
    note('W', now->st_ino, offset, size, bytes, old, &length, sizeof length);
    free(bytes);
}

/* T: inode, new size, size before; bytes that are cut off. */
static void note_size(int fd, const struct stat *now, uint64_t size) {
    uint64_t before = now->st_size;
    size_t old = size < before ? before - size : 0;
    void *bytes = bytes_of(fd, size, &old);
    note('T', now->st_ino, size, before, bytes, old, NULL, 0);
    free(bytes);
}

/* A second name outside of the folder keeps what loses its own, and its inode. */
static uint64_t keep(const char *path, ino_t *inode) {
    struct stat now;
    char place[PATH_MAX + 64];
    if (lstat(path, &now) || !S_ISREG(now.st_mode)) return 0;
    *inode = now.st_ino;
    uint64_t number = ++kept_files;
    snprintf(place, sizeof place, "%s/kept-%s-%llu", journal, run_name, (unsigned long long)number);
    if (syscall(SYS_linkat, AT_FDCWD, path, AT_FDCWD, place, 0)) fail("a file cannot be kept");
    return number;
}

/* ---- names ---------------------------------------------------------------------------------- */

static int open_at(int at, const char *name, int flags, mode_t mode) {
    char path[PATH_MAX];
    struct stat now;
    int ours = whole(at, name, path);
    if (!ours) {
        int fd = syscall(SYS_openat, at, name, flags, mode);
        if (fd >= 0 && fd < FDS_MAX) watched[fd] = 0;
        return fd;
    }
    pthread_mutex_lock(&turn);
    if ((flags & O_ACCMODE) != O_RDONLY && strstr(path, near_text)) near_seen = 1;
    int absent = lstat(path, &now) != 0;
    if (absent && (flags & O_CREAT)) note_path('C', path);
    if ((flags & O_TMPFILE) == O_TMPFILE) note('X', 0, 0, 0, "O_TMPFILE", 9, NULL, 0);
    if (!absent && (flags & O_TRUNC) && S_ISREG(now.st_mode) && now.st_size) {
        int own = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
        if (own >= 0) {
            note_size(own, &now, 0);
            syscall(SYS_close, own);
        }
    }
    int fd = syscall(SYS_openat, at, name, flags, mode);
    int error = errno;
    if (fd >= FDS_MAX) fail("more descriptors than this layer counts");
    if (fd >= 0) {
        watched[fd] = 0;
        if (!fstat(fd, &now) && S_ISREG(now.st_mode)) watched[fd] = now.st_ino;
    }
    pthread_mutex_unlock(&turn);
    errno = error;
    return fd;
}

static mode_t mode_of(int flags, va_list more) {
    int needed = (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE;
    return needed ? va_arg(more, mode_t) : 0;
}

#define OPENS(name) \
    int name(const char *path, int flags, ...) { \
        va_list more; \
        va_start(more, flags); \
        mode_t mode = mode_of(flags, more); \
        va_end(more); \
        return open_at(AT_FDCWD, path, flags, mode); \
    }
#define OPENS_AT(name) \
    int name(int at, const char *path, int flags, ...) { \
        va_list more; \
        va_start(more, flags); \
        mode_t mode = mode_of(flags, more); \
        va_end(more); \
        return open_at(at, path, flags, mode); \
    }
OPENS(open)
OPENS(open64)
OPENS_AT(openat)
OPENS_AT(openat64)

int creat(const char *path, mode_t mode) {
    return open_at(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

int creat64(const char *path, mode_t mode) {
    return creat(path, mode);
}

int close(int fd) {
    if (fd >= 0 && fd < FDS_MAX) watched[fd] = 0;
    return syscall(SYS_close, fd);
}

/* R: the number of the kept file that stood in the place; from; to. */
static int rename_at(int from_at, const char *from, int to_at, const char *to, unsigned flags) {
    char old[PATH_MAX], new[PATH_MAX];
    int from_ours = whole(from_at, from, old), to_ours = whole(to_at, to, new);
    if (!from_ours && !to_ours)
        return syscall(SYS_renameat2, from_at, from, to_at, to, flags);
    pthread_mutex_lock(&turn);
    struct stat moved;
    ino_t target = 0;
    if (!from_ours || !to_ours || flags) {
        note('X', 0, 0, 0, "rename", 6, NULL, 0);
    } else if (!lstat(old, &moved)) {
        uint64_t kept = keep(new, &target);
        note('R', moved.st_ino, kept, 0, old, strlen(old), new, strlen(new));
    }
    int result = syscall(SYS_renameat2, from_at, from, to_at, to, flags);
    int error = errno;
    pthread_mutex_unlock(&turn);
    errno = error;
    return result;
}

int rename(const char *from, const char *to) {
    return rename_at(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int renameat(int from_at, const char *from, int to_at, const char *to) {
    return rename_at(from_at, from, to_at, to, 0);
}

int renameat2(int from_at, const char *from, int to_at, const char *to, unsigned flags) {
    return rename_at(from_at, from, to_at, to, flags);
}

/* U: inode, the number of the kept file; path. */
int unlinkat(int at, const char *name, int flags) {
    char path[PATH_MAX];
    ino_t inode = 0;
    int ours = whole(at, name, path);
    if (!ours) return syscall(SYS_unlinkat, at, name, flags);
    pthread_mutex_lock(&turn);
    if (flags & AT_REMOVEDIR) {
        note('X', 0, 0, 0, "rmdir", 5, NULL, 0);
    } else {
        uint64_t kept = keep(path, &inode);
        if (kept) note('U', inode, kept, 0, path, strlen(path), NULL, 0);
    }
    int result = syscall(SYS_unlinkat, at, name, flags);
    int error = errno;
    pthread_mutex_unlock(&turn);
    errno = error;
    return result;
}

int unlink(const char *name) {
    return unlinkat(AT_FDCWD, name, 0);
}

int rmdir(const char *name) {
    return unlinkat(AT_FDCWD, name, AT_REMOVEDIR);
}

int linkat(int from_at, const char *from, int to_at, const char *to, int flags) {
    char path[PATH_MAX];
    int ours = whole(to_at, to, path);
    if (ours) {
        pthread_mutex_lock(&turn);
        struct stat now;
        if (lstat(path, &now)) note_path('C', path);
        pthread_mutex_unlock(&turn);
    }
    return syscall(SYS_linkat, from_at, from, to_at, to, flags);
}

int link(const char *from, const char *to) {
    return linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int mkdirat(int at, const char *name, mode_t mode) {
    char path[PATH_MAX];
    struct stat now;
    int ours = whole(at, name, path);
    if (!ours) return syscall(SYS_mkdirat, at, name, mode);
    pthread_mutex_lock(&turn);
    if (lstat(path, &now)) note_path('M', path);
    int result = syscall(SYS_mkdirat, at, name, mode);
    int error = errno;
    pthread_mutex_unlock(&turn);
    errno = error;
    return result;
}

int mkdir(const char *name, mode_t mode) {
    return mkdirat(AT_FDCWD, name, mode);
}

/* ---- bytes ---------------------------------------------------------------------------------- */

static uint64_t length_of(const struct iovec *parts, int count) {
    uint64_t length = 0;
    for (int i = 0; i < count; i++) length += parts[i].iov_len;
    return length;
}

static uint64_t place_of(int fd, const struct stat *now) {
    if (fcntl(fd, F_GETFL) & O_APPEND) return now->st_size;
    return lseek(fd, 0, SEEK_CUR);
}

/* Notes what a write is about to overwrite, and carries it out before anybody else's turn. */
#define CARRY_OUT(fd, offset, length, call) \
    struct stat now; \
    if (!is_watched(fd, &now)) return call; \
    pthread_mutex_lock(&turn); \
    fstat(fd, &now); \
    if (trigger && trigger[2] && (uint64_t)(offset) + (length) > (uint64_t)now.st_size) { \
        pthread_mutex_unlock(&turn); \
        errno = ENOSPC; \
        return -1; \
    } \
    note_write(fd, &now, offset, length); \
    ssize_t result = call; \
    int error = errno; \
    pthread_mutex_unlock(&turn); \
    errno = error; \
    return result;

ssize_t write(int fd, const void *bytes, size_t length) {
    CARRY_OUT(fd, place_of(fd, &now), length, syscall(SYS_write, fd, bytes, length))
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset) {
    CARRY_OUT(fd, offset, length, syscall(SYS_pwrite64, fd, bytes, length, offset))
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset) {
    return pwrite64(fd, bytes, length, offset);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    CARRY_OUT(fd, place_of(fd, &now), length_of(parts, count),
              syscall(SYS_writev, fd, parts, count))
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset) {
    CARRY_OUT(fd, offset, length_of(parts, count),
              syscall(SYS_pwritev, fd, parts, count, (long)offset, 0L))
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) {
    return pwritev64(fd, parts, count, offset);
}

int ftruncate64(int fd, off64_t size) {
    struct stat now;
    if (!is_watched(fd, &now)) return syscall(SYS_ftruncate, fd, size);
    pthread_mutex_lock(&turn);
    fstat(fd, &now);
    note_size(fd, &now, size);
    int result = syscall(SYS_ftruncate, fd, size);
    int error = errno;
    pthread_mutex_unlock(&turn);
    errno = error;
    return result;
}

int ftruncate(int fd, off_t size) {
    return ftruncate64(fd, size);
}

/* ---- syncs ---------------------------------------------------------------------------------- */

/* S: inode, the first change that is not covered. D: the same for the names of a folder. */
static int synced(int fd, long call) {
    struct stat now;
    char link[64], path[PATH_MAX];
    if (!folder_length || fstat(fd, &now)) return syscall(call, fd);
    pthread_mutex_lock(&turn);
    uint64_t upto = changes;
    pthread_mutex_unlock(&turn);
    int result = syscall(call, fd);
    int error = errno;
    if (result == 0) {
        pthread_mutex_lock(&turn);
        if (S_ISDIR(now.st_mode)) {
            snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
            ssize_t length = readlink(link, path, sizeof path - 1);
            path[length > 0 ? length : 0] = 0;
            if (length > 0 && below(path)) note('D', 0, upto, 0, path, length, NULL, 0);
        } else if (is_watched(fd, &now)) {
            note('S', now.st_ino, upto, 0, NULL, 0, NULL, 0);
        }
        pthread_mutex_unlock(&turn);
    }
    errno = error;
    return result;
}

int fsync(int fd) {
    return synced(fd, SYS_fsync);
}

int fdatasync(int fd) {
    return synced(fd, SYS_fdatasync);
}

/* ---- what is not noted ---------------------------------------------------------------------- */

void *mmap64(void *at, size_t length, int protection, int flags, int fd, off64_t offset) {
    struct stat now;
    int writes = (protection & PROT_WRITE) && (flags & MAP_SHARED);
    if (writes && is_watched(fd, &now)) beyond("mmap");
    return (void *)syscall(SYS_mmap, at, length, protection, flags, fd, offset);
}

void *mmap(void *at, size_t length, int protection, int flags, int fd, off_t offset) {
    return mmap64(at, length, protection, flags, fd, offset);
}

int fallocate64(int fd, int mode, off64_t offset, off64_t length) {
    struct stat now;
    if (is_watched(fd, &now)) beyond("fallocate");
    return syscall(SYS_fallocate, fd, mode, offset, length);
}

int fallocate(int fd, int mode, off_t offset, off_t length) {
    return fallocate64(fd, mode, offset, length);
}

ssize_t copy_file_range(int from, off64_t *from_at, int to, off64_t *to_at, size_t length,
                        unsigned flags) {
    struct stat now;
    if (is_watched(to, &now)) beyond("copy_file_range");
    return syscall(SYS_copy_file_range, from, from_at, to, to_at, length, flags);
}

ssize_t sendfile64(int to, int from, off64_t *offset, size_t length) {
    struct stat now;
    if (is_watched(to, &now)) beyond("sendfile");
    return syscall(SYS_sendfile, to, from, offset, length);
}

int truncate64(const char *name, off64_t size) {
    char path[PATH_MAX];
    if (whole(AT_FDCWD, name, path)) beyond("truncate");
    return syscall(SYS_truncate, name, size);
}

int truncate(const char *name, off_t size) {
    return truncate64(name, size);
}

int symlink(const char *to, const char *name) {
    char path[PATH_MAX];
    if (whole(AT_FDCWD, name, path)) beyond("symlink");
    return syscall(SYS_symlinkat, to, AT_FDCWD, name);
}
