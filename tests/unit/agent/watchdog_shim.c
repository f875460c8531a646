/* A watchdog device for a real process: preloaded, it answers the ioctls of one FIFO as the kernel would.
 *
 * $SHIM_DEVICE is the FIFO: what is written to it, the test reads. In $SHIM_DIR each file is one word of what the device is
 * and has: options, timeout, grain (it rounds up to a multiple of that), and errno-pet, errno-set, errno-support, which make
 * that request fail. What was asked is added to the file journal.
 *
 * Only one open file is allowed at a time, whoever holds it, and it is let go with its last descriptor: a flock. reboot(2) is
 * written down and refused.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/watchdog.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *directory(void) { return getenv("SHIM_DIR"); }

static int number(const char *name, int otherwise)
{
	char path[4096];
	int found = otherwise;
	snprintf(path, sizeof path, "%s/%s", directory(), name);
	FILE *file = fopen(path, "r");
	if (file != NULL) {
		if (fscanf(file, "%i", &found) != 1)
			found = otherwise;
		fclose(file);
	}
	return found;
}

static void keep(const char *name, int value)
{
	char path[4096], fresh[4112];
	snprintf(path, sizeof path, "%s/%s", directory(), name);
	snprintf(fresh, sizeof fresh, "%s.new", path);
	FILE *file = fopen(fresh, "w");
	if (file != NULL) {
		fprintf(file, "%d\n", value);
		fclose(file);
		rename(fresh, path);
	}
}

static void note(const char *what, int value)
{
	char path[4096], line[64];
	snprintf(path, sizeof path, "%s/journal", directory());
	int length = value < 0 ? snprintf(line, sizeof line, "%s\n", what) : snprintf(line, sizeof line, "%s %d\n", what, value);
	int (*opens)(const char *, int, ...) = dlsym(RTLD_NEXT, "open");
	int file = opens(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	if (file >= 0) {
		if (write(file, line, length) != length)
			abort();
		close(file);
	}
}

static int fails(const char *name)
{
	errno = number(name, 0);
	return errno != 0;
}

static int opened(int descriptor)
{
	if (descriptor < 0)
		return descriptor;
	if (flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
		close(descriptor);
		errno = EBUSY;
		return -1;
	}
	note("open", -1);
	return descriptor;
}

static int is_device(const char *path)
{
	const char *device = getenv("SHIM_DEVICE");
	return device != NULL && strcmp(path, device) == 0;
}

#define OPENS(name)                                                                                                            \
	int name(const char *path, int flags, ...)                                                                             \
	{                                                                                                                      \
		va_list more;                                                                                                  \
		va_start(more, flags);                                                                                         \
		mode_t mode = va_arg(more, mode_t);                                                                            \
		va_end(more);                                                                                                  \
		int (*next)(const char *, int, ...) = dlsym(RTLD_NEXT, #name);                                                 \
		int descriptor = next(path, flags, mode);                                                                      \
		return is_device(path) ? opened(descriptor) : descriptor;                                                      \
	}
OPENS(open)
OPENS(open64)

static int set(int asked)
{
	int grain = number("grain", 1);
	if (fails("errno-set"))
		return -1;
	note("set", asked);
	keep("timeout", (asked + grain - 1) / grain * grain);
	return 0;
}

static int answer(unsigned long request, void *argument)
{
	struct watchdog_info *about = argument;
	int *value = argument;
	switch (request) {
	case WDIOC_GETSUPPORT:
		if (fails("errno-support"))
			return -1;
		memset(about, 0, sizeof *about);
		about->options = number("options", 0);
		strcpy((char *)about->identity, "Software Watchdog");
		return 0;
	case WDIOC_SETTIMEOUT:
		if (set(*value) != 0)
			return -1;
		*value = number("timeout", 60);
		return 0;
	case WDIOC_GETTIMEOUT:
		*value = number("timeout", 60);
		return 0;
	case WDIOC_KEEPALIVE:
		if (fails("errno-pet"))
			return -1;
		note("pet", -1);
		return 0;
	case WDIOC_GETBOOTSTATUS:
		*value = 0;
		return 0;
	case WDIOC_GETTIMELEFT:
		*value = 30;
		return 0;
	}
	errno = ENOTTY;
	return -1;
}

int ioctl(int descriptor, unsigned long request, ...)
{
	va_list more;
	va_start(more, request);
	void *argument = va_arg(more, void *);
	va_end(more);
	struct stat here, device;
	const char *path = getenv("SHIM_DEVICE");
	if (path != NULL && fstat(descriptor, &here) == 0 && stat(path, &device) == 0 && here.st_ino == device.st_ino &&
	    here.st_dev == device.st_dev)
		return answer(request & 0xffffffff, argument);
	int (*next)(int, unsigned long, ...) = dlsym(RTLD_NEXT, "ioctl");
	return next(descriptor, request, argument);
}

int reboot(int how)
{
	(void)how;
	note("reboot", -1);
	errno = EPERM;
	return -1;
}
