/* build: static */
/* SPDX-License-Identifier: MIT
 *
 * An image linked static: see image.h. */
#include "image.h"

int main(int argc, char **argv)
{
    return image_main(argc, argv);
}
