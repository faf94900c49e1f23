// SPDX-License-Identifier: MIT
// What is well, in doubt and ill; each member of a kind by itself.
#include "tools/xlstore/health.hpp"

#include <gtest/gtest.h>

#include "tools/common/json_value.hpp"

namespace xlstore::tools {
namespace {

Json domain_facts()
{
    return {{"domid", 7},           {"name", "web01"},  {"state", "running"},
            {"incarnation", 3},     {"qemu_pid", 42},   {"qemu", "alive"},
            {"answer", "answered"}, {"stopped", false}, {"run_state", "paused"},
            {"doing", "paused"},    {"why", nullptr},   {"open_intents", 0},
            {"lost_qemu", false}};
}

Json intent_facts()
{
    return {{"intent", 4},
            {"domid", 7},
            {"id", 3},
            {"operation", "remove"},
            {"class", "usbctrls"},
            {"key", "0"},
            {"waits_for_guest", false},
            {"age_s", 5},
            {"owner_pid", 99},
            {"owner_program", "xl"},
            {"owner_lives", true}};
}

Json facts_with(const std::string& list, Json item)
{
    Json facts = {{"domains", Json::array()},
                  {"intents", Json::array()},
                  {"locks", Json::array()},
                  {"breaches", Json::array()},
                  {"unsettled", Json::array()},
                  {"space", {{"free_bytes", 1LL << 33}, {"log_bytes", 4096}, {"read_only", false}}},
                  {"units", {{"why", nullptr}, {"list", Json::array()}}}};
    if (list == "units")
        facts["units"]["list"].push_back(std::move(item));
    else if (!list.empty())
        facts[list].push_back(std::move(item));
    return facts;
}

std::string health_of(const Json& facts)
{
    const auto judged = Json::parse(with_health(facts.dump()));
    EXPECT_EQ(judged["health"] == "well", judged["reasons"].empty());
    return judged["health"];
}

std::string of_domain(const char* member, const Json& value)
{
    auto one = domain_facts();
    one[member] = value;
    return health_of(facts_with("domains", one));
}

std::string of_intent(const char* member, const Json& value)
{
    auto one = intent_facts();
    one[member] = value;
    return health_of(facts_with("intents", one));
}

TEST(HealthTest, NothingToDoIsWell)
{
    EXPECT_EQ(health_of(facts_with("", {})), "well");
    EXPECT_EQ(of_domain("domid", 7), "well") << "a guest that its owner paused";
    EXPECT_EQ(of_domain("qemu", "none"), "well") << "a PV domain";
    EXPECT_EQ(of_domain("answer", "busy"), "well") << "an operation is under way";
    EXPECT_EQ(of_domain("answer", "unasked"), "doubt") << "by one who may not";
    EXPECT_EQ(of_intent("age_s", 200), "well") << "its owner lives";
}

TEST(HealthTest, QemuThatDoesNotServeIsTold)
{
    EXPECT_EQ(of_domain("qemu", "dead"), "ill");
    EXPECT_EQ(of_domain("stopped", true), "ill");
    EXPECT_EQ(of_domain("run_state", "io-error"), "ill");
    EXPECT_EQ(of_domain("run_state", "guest-panicked"), "ill");
    EXPECT_EQ(of_domain("answer", "silent"), "doubt");
    EXPECT_EQ(of_domain("qemu", "unseen"), "doubt");
    EXPECT_EQ(of_domain("state", "destroying"), "doubt");
}

// Its QEMU is dead on the way, and a soft reset would be refused (R8).
TEST(HealthTest, DestructionIsJudgedByWhoIsAtIt)
{
    auto facts = facts_with("domains", domain_facts());
    facts["domains"][0]["state"] = "destroying";
    for (const char* qemu : {"dead", "none"}) {
        facts["domains"][0]["qemu"] = qemu;
        const auto judged = Json::parse(with_health(facts.dump()));
        EXPECT_EQ(judged["health"], "ill") << qemu;
        ASSERT_EQ(judged["reasons"].size(), 1U);
        EXPECT_EQ(judged["reasons"][0]["advice"],
                  "'xlstore destroy id:3' or 'xlfsck -p' finishes it");
    }
    facts["locks"].push_back({{"lock", "destroy lock"},
                              {"subject", "domain 7 (web01)"},
                              {"domid", 7},
                              {"held", true},
                              {"claim",
                               {{"text", "destroy (xlstore, pid 5)"},
                                {"pid", 5},
                                {"lives", true},
                                {"stopped", false}}}});
    for (const char* qemu : {"dead", "alive", "unseen", "none"}) {
        facts["domains"][0]["qemu"] = qemu;
        EXPECT_EQ(health_of(facts), "well") << qemu;
    }
    facts["domains"][0]["domid"] = 8;
    EXPECT_EQ(health_of(facts), "ill") << "it is another domain that is being destroyed";
    facts["domains"][0]["domid"] = 7;
    facts["locks"][0]["claim"]["stopped"] = true;
    const auto judged = Json::parse(with_health(facts.dump()));
    ASSERT_EQ(judged["reasons"].size(), 1U);
    EXPECT_EQ(judged["reasons"][0]["advice"], "'kill -CONT 5' lets it go on");
}

TEST(HealthTest, IntentIsJudgedByWhoHasIt)
{
    EXPECT_EQ(of_intent("owner_lives", false), "ill");
    EXPECT_EQ(of_intent("waits_for_guest", true), "doubt");
    EXPECT_EQ(of_intent("age_s", 3000), "doubt");
    auto gone = intent_facts();
    gone["owner_lives"] = nullptr;
    gone["age_s"] = 1;
    EXPECT_EQ(health_of(facts_with("intents", gone)), "well") << "not seen is not dead";
}

TEST(HealthTest, IntentIsSettledByTheQemuThatThereIs)
{
    const auto advice_with = [](const char* qemu) {
        auto intent = intent_facts();
        intent["owner_lives"] = false;
        auto facts = facts_with("intents", intent);
        auto domain = domain_facts();
        domain["qemu"] = qemu;
        facts["domains"].push_back(domain);
        const auto judged = Json::parse(with_health(facts.dump()));
        for (const auto& reason : judged["reasons"])
            if (reason["subject"] == "intent 4 of domain 7")
                return reason["advice"].get<std::string>();
        return std::string();
    };
    EXPECT_EQ(advice_with("alive"), "'xlfsck -p' settles it by what QEMU shows");
    const auto none = advice_with("none");
    EXPECT_EQ(none.find("by what QEMU shows"), std::string::npos);
    EXPECT_NE(none.find("'xlfsck -p' closes it with its domain"), std::string::npos);
}

// Removals and the like in xenstore have no intent (R18).
TEST(HealthTest, ThingOfXenstoreThatIsNotSettledIsInDoubt)
{
    for (const char* state : {"removing", "adding", "changing"}) {
        auto facts = facts_with("unsettled",
                                {{"domid", 7}, {"class", "nics"}, {"key", "5"}, {"state", state}});
        const auto judged = Json::parse(with_health(facts.dump()));
        EXPECT_EQ(judged["health"], "doubt") << state;
        ASSERT_EQ(judged["reasons"].size(), 1U);
        EXPECT_EQ(judged["reasons"][0]["subject"], "nics/5 of domain 7");
        const std::string advice = judged["reasons"][0]["advice"];
        EXPECT_EQ(advice.find("'xlstore detach 7 nics 5'") != std::string::npos,
                  std::string(state) == "removing")
            << advice;
        facts["locks"].push_back(
            {{"lock", "fast lock"},
             {"subject", "domain 7 (web01)"},
             {"domid", 7},
             {"held", true},
             {"claim",
              {{"text", "detach (xl, pid 5)"}, {"pid", 5}, {"lives", true}, {"stopped", false}}}});
        EXPECT_EQ(health_of(facts), "well") << "a process is at it";
        facts["locks"][0]["domid"] = 8;
        EXPECT_EQ(health_of(facts), "doubt") << "at another domain";
    }
}

TEST(HealthTest, GuestWhoseQemuWasStruckOffIsIll)
{
    auto one = domain_facts();
    one["qemu"] = "none";
    one["lost_qemu"] = true;
    EXPECT_EQ(health_of(facts_with("domains", one)), "ill");
}

TEST(HealthTest, LocksSpaceRulesAndUnits)
{
    const Json holder = {
        {"text", "attach (xl, pid 5)"}, {"pid", 5}, {"lives", true}, {"stopped", true}};
    Json lock = {
        {"lock", "slow lock"}, {"subject", "domain 7 (web01)"}, {"held", true}, {"claim", holder}};
    EXPECT_EQ(health_of(facts_with("locks", lock)), "ill");
    lock["claim"]["stopped"] = false;
    EXPECT_EQ(health_of(facts_with("locks", lock)), "well");
    lock["claim"]["lives"] = false;
    EXPECT_EQ(health_of(facts_with("locks", lock)), "ill");
    auto full = facts_with("", {});
    full["space"]["free_bytes"] = 1 << 20;
    EXPECT_EQ(health_of(full), "ill");
    auto unwritable = facts_with("", {});
    unwritable["space"]["read_only"] = true;
    EXPECT_EQ(health_of(unwritable), "ill");
    auto grown = facts_with("", {});
    grown["space"]["log_bytes"] = 1 << 30;
    EXPECT_EQ(health_of(grown), "doubt");
    EXPECT_EQ(health_of(facts_with("breaches",
                                   {{"rule", "R1"}, {"domid", 7}, {"breach", "two of one key"}})),
              "ill");
    EXPECT_EQ(health_of(facts_with("units", {{"name", "xlstore-look.service"},
                                             {"active", "failed"},
                                             {"result", "exit-code"}})),
              "ill");
}

TEST(HealthTest, WorstComesFirst)
{
    auto facts = facts_with("intents", intent_facts());
    facts["intents"][0]["waits_for_guest"] = true;
    facts["domains"].push_back(domain_facts());
    facts["domains"].push_back(domain_facts());
    facts["domains"][0]["answer"] = "silent";
    facts["domains"][1]["qemu"] = "dead";
    const auto judged = Json::parse(with_health(facts.dump()));
    EXPECT_EQ(judged["health"], "ill");
    ASSERT_EQ(judged["reasons"].size(), 3U);
    EXPECT_EQ(judged["reasons"][0]["health"], "ill");
    for (const auto& reason : judged["reasons"])
        EXPECT_NE(reason["advice"], "");
}

}  // namespace
}  // namespace xlstore::tools
