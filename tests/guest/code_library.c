/* SPDX-License-Identifier: MIT
 *
 * Libraries that come and go, often at the same address: dlopen, call, dlclose, in turns. */
#include <dlfcn.h>

#include "expect.h"

static void with_zlib(void)
{
    void *library = dlopen("libz.so.1", RTLD_NOW);
    EXPECT_THAT(library, "libz.so.1: %s", dlerror());
    if (library) {
        unsigned long (*crc32)(unsigned long, const void *, unsigned) =
            (unsigned long (*)(unsigned long, const void *, unsigned))dlsym(library, "crc32");
        EXPECT_OR_END(crc32);
        EXPECT_SAME(crc32(0, "123456789", 9), 0xcbf43926);
        EXPECT(dlclose(library) == 0);
    }
}

static void with_lzma(void)
{
    void *library = dlopen("liblzma.so.5", RTLD_LAZY);
    EXPECT_THAT(library, "liblzma.so.5: %s", dlerror());
    if (library) {
        uint64_t (*crc64)(const void *, size_t, uint64_t) =
            (uint64_t(*)(const void *, size_t, uint64_t))dlsym(library, "lzma_crc64");
        EXPECT_OR_END(crc64);
        EXPECT_SAME(crc64("123456789", 9, 0), 0x995dc9bbdf1939faull);
        EXPECT(dlclose(library) == 0);
    }
}

static void with_bzip2(void)
{
    void *library = dlopen("libbz2.so.1.0", RTLD_NOW | RTLD_GLOBAL);
    EXPECT_THAT(library, "libbz2.so.1.0: %s", dlerror());
    if (library) {
        int (*compress)(char *, unsigned *, char *, unsigned, int, int, int) =
            (int (*)(char *, unsigned *, char *, unsigned, int, int, int))dlsym(
                library, "BZ2_bzBuffToBuffCompress");
        EXPECT_OR_END(compress);
        char from[400], to[1000];
        unsigned length = sizeof to;
        memset(from, 'x', sizeof from);
        EXPECT_SAME(compress(to, &length, from, sizeof from, 1, 0, 0), 0);
        EXPECT(length > 20 && length < 100 && memcmp(to, "BZh1", 4) == 0);
        EXPECT(dlclose(library) == 0);
    }
}

int main(void)
{
    alarm(100);
    for (int i = 0; i < 150; i++) {
        with_zlib();
        with_lzma();
        with_bzip2();
        EXPECT(dlopen("libno-such-library.so", RTLD_NOW) == NULL && dlerror());
    }
    return expect_done();
}
