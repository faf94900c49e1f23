// SPDX-License-Identifier: MIT
// The page of 'xlstore status', as a person sees it, on screens of several widths.
#include "tools/xlstore/status_page.hpp"

#include <gtest/gtest.h>

#include "tools/common/display_width.hpp"
#include "tools/common/json_value.hpp"

namespace xlstore::tools {
namespace {

Json page_facts()
{
    return Json::parse(R"({"health":"doubt","reasons":[{"health":"doubt",
        "subject":"intent 4 of domain 7","text":"the guest has not let go of it",
        "advice":"'xlstore wait 4'"}],
      "store":"/var/lib/xlstore","looked_us":1732919593000000,
      "domains":[{"domid":7,"name":"web01","uuid":"u","incarnation":1,"state":"running","things":6,
        "stale":1,"open_intents":1,"qemu_pid":4242,"closed_since":"2024-11-29 22:00:00",
        "closed_reason":"migration","qemu":"alive","answer":"answered","run_state":"paused",
        "doing":"paused","why":null,"looked_us":1732919593000000,"stopped":false}],
      "intents":[{"intent":4,"domid":7,"id":1,"operation":"remove","class":"usbctrls","key":"0",
        "waits_for_guest":true,"age_s":7500,"owner_pid":99,"owner_program":"xl",
        "owner_lives":false,"note":null}],
      "locks":[],"breaches":[],
      "space":{"database_bytes":1258291,"log_bytes":0,"free_bytes":13207024435,
        "disk_bytes":107374182400},
      "last_fsck":null,"last_repair":null,"units":{"why":"systemd does not run here","list":[]}})");
}

std::string page_of(const Json& facts, std::size_t columns = 80, bool colours = false)
{
    Screen where;
    where.columns = columns;
    where.colours = colours;
    std::string text;
    for (const auto& line : status_page(facts.dump(), where))
        text += line + "\n";
    return text;
}

TEST(StatusPageTest, ShowsAllAtAGlance)
{
    EXPECT_EQ(page_of(page_facts()), R"(store    /var/lib/xlstore
looked   2024-11-29 22:33:13 UTC
health   in doubt: 1 thing to look at
  intent 4 of domain 7: the guest has not let go of it
      'xlstore wait 4'
domains  1 domain: 1 paused
  DOMID  NAME   STATE            QEMU  THINGS       INTENTS  NOW
  7      web01  running, closed  4242  6 (1 stale)  1        paused
intents  1 intent open
  INTENT  DOMID  WHAT               AGE        OWNER         STATE
  4       7      remove usbctrls/0  2 h 5 min  xl 99 (gone)  guest asked
locks    none is held
space    database 1.2 MiB, log 0 B; 12 GiB free of 100 GiB
xlfsck   has repaired nothing that is kept
units    systemd does not run here
)");
}

TEST(StatusPageTest, SaysWhatXlfsckDidLast)
{
    auto facts = page_facts();
    facts["last_fsck"] = {{"at_us", 1732919573000000}, {"pid", 5}, {"lines", 2},
                          {"last", "add qemu/t: done"}};
    facts["last_repair"] = {{"run", 4}, {"began", "2024-11-29 22:32:00"}, {"mode", "preen"},
                            {"program", "xlfsck"}, {"pid", 5}, {"domains", 1}, {"rows", 1},
                            {"put_back", 0}};
    EXPECT_NE(page_of(facts, 200).find(
                  "xlfsck   last repaired 2024-11-29 22:32:53 UTC, 20 s ago, 2 lines of history; "
                  "the last: add qemu/t: done\n         run 4, 2024-11-29 22:32:00 UTC, by xlfsck 5 "
                  "(preen): 1 row rewritten, 0 put back: 'xlstore undo 4 --dry-run' shows them\n"),
              std::string::npos)
        << page_of(facts, 200);
}

TEST(StatusPageTest, FitsNarrowScreens)
{
    auto facts = page_facts();
    facts["domains"][0]["name"] = "日本語日本語日本語日本語日本語";
    facts["domains"][0]["doing"] = "does not answer";
    for (const std::size_t columns : {24, 40, 60, 80, 132}) {
        Screen where;
        where.columns = columns;
        for (const auto& line : status_page(facts.dump(), where))
            EXPECT_LE(display_width(line), columns) << line;
    }
}

TEST(StatusPageTest, HasNoColourAndNoControlCharacterUnlessWanted)
{
    auto facts = page_facts();
    facts["domains"][0]["name"] = "a\x1b[2Jb";
    EXPECT_EQ(page_of(facts).find('\x1b'), std::string::npos) << "a name is no command";
    EXPECT_NE(page_of(facts, 80, true).find("\x1b[33m"), std::string::npos);
    EXPECT_EQ(page_of(facts, 80, true).find("\x1b[2J"), std::string::npos);
}

TEST(StatusPageTest, OneLineWhenAllIsWell)
{
    auto facts = page_facts();
    EXPECT_EQ(status_line(facts.dump()),
              "intent 4 of domain 7: the guest has not let go of it, looked at 22:33:13 UTC");
    facts["reasons"] = Json::array();
    EXPECT_EQ(status_line(facts.dump()), "all is well: 1 domain, looked at 22:33:13 UTC");
}

TEST(StatusPageTest, MetricsNameEachDomain)
{
    auto facts = page_facts();
    facts["domains"][0]["name"] = "a\"b\\c\nd";
    const auto text = status_metrics(facts.dump());
    for (const char* line :
         {"xlstore_status_time_seconds 1732919593\n", "xlstore_doubtful 1\n", "xlstore_ill 0\n",
          "xlstore_qemu_up{domid=\"7\",name=\"a\\\"b\\\\c d\"} 1\n",
          "xlstore_waiting_for_guest 1\n", "xlstore_log_bytes 0\n"})
        EXPECT_NE(text.find(line), std::string::npos) << line << text;
    EXPECT_EQ(text.find("unit_failed"), std::string::npos) << "systemd does not run";
}

}  // namespace
}  // namespace xlstore::tools
