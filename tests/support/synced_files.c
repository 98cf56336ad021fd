/* Preloaded into the daemon: keeps, of each file in the directory $SYNCED_FILES_FROM, a copy in
   $SYNCED_FILES_TO as it was when it was last synced.  That is all that a power cut is sure to
   leave.  A file that is removed or renamed is so at once. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
enum { kDescriptors = 1024 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
/* What was written through a descriptor since it was last synced. */
static struct { off_t from, to; } written[kDescriptors];

static void* next(const char* name) {
  void* symbol = dlsym(RTLD_NEXT, name);
  if (!symbol) abort();
  return symbol;
}

static void note(int fd, off_t from, ssize_t size) {
  if (fd < 0 || fd >= kDescriptors || size <= 0) return;
  pthread_mutex_lock(&mutex);
  const int first = written[fd].from == written[fd].to;
  if (first || from < written[fd].from) written[fd].from = from;
  if (first || from + size > written[fd].to) written[fd].to = from + size;
  pthread_mutex_unlock(&mutex);
}

typedef ssize_t write_at(int, const void*, size_t, off_t);

static ssize_t write_with(const char* name, int fd, const void* data, size_t size, off_t at) {
  write_at* function = NULL;
  void* symbol = next(name);
  memcpy(&function, &symbol, sizeof function);
  const ssize_t result = function(fd, data, size, at);
  note(fd, at, result);
  return result;
}

EXPORT ssize_t pwrite(int fd, const void* data, size_t size, off_t at) {
  return write_with("pwrite", fd, data, size, at);
}
EXPORT ssize_t pwrite64(int fd, const void* data, size_t size, off_t at) {
  return write_with("pwrite64", fd, data, size, at);
}

/* Where the copy of a file is; "" when there is none to be. */
static void find_copy(const char* path, char* copy) {
  const char* from = getenv("SYNCED_FILES_FROM");
  const char* to = getenv("SYNCED_FILES_TO");
  copy[0] = '\0';
  if (!from || !to) return;
  const size_t directory = strlen(from);
  if (strncmp(path, from, directory) == 0 && path[directory] == '/')
    snprintf(copy, PATH_MAX, "%s%s", to, path + directory);
}

static void find_copy_of_descriptor(int fd, char* copy) {
  char link[64], path[PATH_MAX];
  copy[0] = '\0';
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  const ssize_t size = readlink(link, path, sizeof path - 1);
  if (size < 0) return;
  path[size] = '\0';
  find_copy(path, copy);
}

/* A kill in the middle leaves a part of what is being synced, as a power cut does. */
static void keep(int fd) {
  char path[PATH_MAX], buffer[65536];
  find_copy_of_descriptor(fd, path);
  if (!*path || fd >= kDescriptors) return;
  const int to = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  struct stat status;
  if (to < 0 || fstat(fd, &status) != 0) abort();
  off_t at = written[fd].from;
  off_t end = written[fd].to;
  if (at == end) at = 0, end = status.st_size; /* written by other means */
  while (at < end) {
    const size_t left = (size_t)(end - at);
    const ssize_t size = pread(fd, buffer, left < sizeof buffer ? left : sizeof buffer, at);
    if (size <= 0) break;
    write_at* function = NULL;
    void* symbol = next("pwrite");
    memcpy(&function, &symbol, sizeof function);
    if (function(to, buffer, (size_t)size, at) != size) abort();
    at += size;
  }
  close(to);
  written[fd].from = written[fd].to = 0;
}

/* To where the copy is: no disk has to be waited for. */
EXPORT int fdatasync(int fd) {
  pthread_mutex_lock(&mutex);
  if (fd >= 0) keep(fd);
  pthread_mutex_unlock(&mutex);
  return 0;
}
EXPORT int fsync(int fd) { return fdatasync(fd); }

EXPORT int unlink(const char* path) {
  int (*function)(const char*) = NULL;
  void* symbol = next("unlink");
  memcpy(&function, &symbol, sizeof function);
  char copy[PATH_MAX];
  find_copy(path, copy);
  if (*copy) function(copy);
  return function(path);
}

EXPORT int rename(const char* from, const char* to) {
  int (*function)(const char*, const char*) = NULL;
  void* symbol = next("rename");
  memcpy(&function, &symbol, sizeof function);
  char from_copy[PATH_MAX], to_copy[PATH_MAX];
  find_copy(from, from_copy);
  find_copy(to, to_copy);
  if (*from_copy && *to_copy) function(from_copy, to_copy);
  return function(from, to);
}
