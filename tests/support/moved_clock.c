/* Preloaded into the daemon: a time of day that is off by the nanoseconds in the file
   $MOVED_CLOCK_FILE, eight bytes that a test may change at any moment. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

static const int64_t kSecond = 1000000000;
/* A deadline of the monotonic clock is a smaller number than one of the time of day. */
static const time_t kFirstTimeOfDay = 500000000;

static const volatile int64_t* page;

static void* next(const char* name) {
  void* symbol = dlsym(RTLD_NEXT, name);
  if (!symbol) abort();
  return symbol;
}
#define CALL_NEXT(name, ...)                        \
  ({                                                \
    __typeof__(&name) function_ = NULL;             \
    void* symbol_ = next(#name);                    \
    memcpy(&function_, &symbol_, sizeof function_); \
    function_(__VA_ARGS__);                         \
  })

__attribute__((constructor)) static void map(void) {
  const char* file = getenv("MOVED_CLOCK_FILE");
  const int fd = file ? open(file, O_RDONLY | O_CLOEXEC) : -1;
  if (fd < 0) return;
  void* mapped = mmap(NULL, sizeof *page, PROT_READ, MAP_SHARED, fd, 0);
  if (mapped != MAP_FAILED) page = mapped;
  close(fd);
}

static struct timespec moved(struct timespec time, int sign) {
  const int64_t offset = page ? *page : 0;
  const int64_t all = (int64_t)time.tv_sec * kSecond + time.tv_nsec + sign * offset;
  const struct timespec result = {(time_t)(all / kSecond), (long)(all % kSecond)};
  return result;
}

EXPORT int clock_gettime(clockid_t clock, struct timespec* time) {
  const int result = CALL_NEXT(clock_gettime, clock, time);
  if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
    *time = moved(*time, 1);
  return result;
}

EXPORT int gettimeofday(struct timeval* restrict value, void* restrict zone) {
  (void)zone;
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  value->tv_sec = now.tv_sec;
  value->tv_usec = now.tv_nsec / 1000;
  return 0;
}

EXPORT time_t time(time_t* result) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (result) *result = now.tv_sec;
  return now.tv_sec;
}

/* The kernel's clock was not moved: what waits until a time of day waits for the true one. */
static struct timespec true_deadline(const struct timespec* deadline) {
  return deadline->tv_sec < kFirstTimeOfDay ? *deadline : moved(*deadline, -1);
}

EXPORT int pthread_cond_timedwait(pthread_cond_t* restrict condition,
                                  pthread_mutex_t* restrict mutex,
                                  const struct timespec* restrict deadline) {
  const struct timespec until = true_deadline(deadline);
  return CALL_NEXT(pthread_cond_timedwait, condition, mutex, &until);
}

EXPORT int sem_timedwait(sem_t* restrict semaphore, const struct timespec* restrict deadline) {
  const struct timespec until = true_deadline(deadline);
  return CALL_NEXT(sem_timedwait, semaphore, &until);
}
