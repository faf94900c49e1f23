// SPDX-License-Identifier: MIT
#include "store/model/vdev.hpp"

#include <gtest/gtest.h>

#include <string>

namespace xlstore {
namespace {

TEST(Vdev, HasTheNumberOfXensBlockInterface)
{
    struct Case {
        const char* name;
        std::int64_t number;
    };
    for (const auto& [name, number] :
         {Case{"xvda", 51712}, Case{"xvdb", 51728}, Case{"xvda1", 51713}, Case{"xvdp15", 51967},
          Case{"xvda16", (1 << 28) | 16}, Case{"xvdq", (1 << 28) | (16 << 8)},
          Case{"xvdaa3", (1 << 28) | (26 << 8) | 3}, Case{"d0p0", 51712}, Case{"d0", 51712},
          Case{"d0p1", 51713}, Case{"d20p2", (1 << 28) | (20 << 8) | 2}, Case{"hda", 768},
          Case{"hda1", 769}, Case{"hdb", 832}, Case{"hdc", 5632}, Case{"hdd63", 5696 + 63},
          Case{"sda", 2048}, Case{"sda2", 2050}, Case{"sdp15", 2303}, Case{"51712", 51712}})
        EXPECT_EQ(vdev_number(name), number) << name;
}

TEST(Vdev, IsNothingWhereLibxlKnowsNoDisk)
{
    for (const char* name : {"", "xvd", "xvd1", "xvda0", "xvda01", "xvda256", "xvdA", "xvdzzzzz",
                             "xvdzzzzzz", "hde", "hda64", "sdq", "sda16", "d", "dp0", "d0p", "d0p256",
                             "d1048576", "d0p00", "-1", "+1", "0x10", "2147483648", "99999999999999999999",
                             "xvda ", "vda", "xvda1p"})
        EXPECT_FALSE(vdev_number(name)) << name;
}

TEST(Vdev, TellsWhichDiskOfItsKindItIs)
{
    EXPECT_EQ(vdev_disk("hdc"), 2);
    EXPECT_EQ(vdev_disk("xvdc1"), 2);
    EXPECT_EQ(vdev_disk("d2p1"), 2);
    EXPECT_FALSE(vdev_disk("51712"));
}

}  // namespace
}  // namespace xlstore
