/* build: no-pie */
/* SPDX-License-Identifier: MIT
 *
 * An image linked no-pie: see image.h. */
#include "image.h"

int main(int argc, char **argv)
{
    return image_main(argc, argv);
}
