// SPDX-License-Identifier: MIT
#include "store/model/plan.hpp"

#include <gtest/gtest.h>

#include "store/model/row_names.hpp"
#include "store/text/json_text.hpp"

namespace xlstore {
namespace {

Result<Plan> compile(const std::string& text)
{
    const auto minified = json_minify(text, "test");
    EXPECT_TRUE(minified) << text;
    return minified ? compile_plan(*minified) : Result<Plan>(minified.error());
}

constexpr const char* kDisk = R"({"key":"disk","steps":[
    {"execute":"blockdev-add","arguments":{"driver":"null-co","node-name":"n0"}},
    {"execute":"device_add","arguments":{"driver":"virtio-blk-pci","drive":"n0","id":"d0"}}]})";

TEST(PlanTest, DerivesUndoAndProbeFromWhatTheStepsMake)
{
    const auto plan = compile(kDisk);
    ASSERT_TRUE(plan);
    ASSERT_EQ(plan->steps.size(), 2U);
    EXPECT_EQ(plan->steps[0].undo->execute, "blockdev-del");
    EXPECT_EQ(plan->steps[0].undo->arguments, R"({"node-name":"n0"})");
    EXPECT_EQ(plan->steps[1].undo->execute, "device_del");
    ASSERT_EQ(plan->probe.products.size(), 2U);
    EXPECT_EQ(plan->probe.products[0].kind, "node");
    EXPECT_EQ(plan->probe.products[1].name, "d0");
    EXPECT_FALSE(plan->probe.drive);
}

TEST(PlanTest, CommandOfARowIsRefusedUnlessItIsOne)
{
    EXPECT_EQ(command_from_json(R"({"execute":"a","arguments":{},"by":"host"})")->by,
              Executor::host);
    for (const char* text :
         {"1", "{}", R"({"execute":""})", R"({"execute":1})", R"({"execute":"a","arguments":[]})",
          R"({"execute":"a","by":"smith"})"})
        EXPECT_FALSE(command_from_json(text)) << text;
}

TEST(RowNamesTest, OnlyAWordOfOursIsAValue)
{
    EXPECT_EQ(*state_from_name("destroying"), DomainState::destroying);
    EXPECT_EQ(*verb_from_name("change"), Verb::change);
    for (const char* word : {"", "Running", "running ", "add"}) {
        const auto state = state_from_name(word);
        ASSERT_FALSE(state) << word;
        EXPECT_EQ(state.error().code, Errc::store);
        EXPECT_NE(state.error().message.find("is no state of a domain"), std::string::npos);
        EXPECT_NE(state.error().advice.find("xlfsck -n"), std::string::npos);
    }
    for (const char* word : {"", "Add", "removed", "running"}) {
        const auto verb = verb_from_name(word);
        ASSERT_FALSE(verb) << word;
        EXPECT_EQ(verb.error().code, Errc::store);
        EXPECT_NE(verb.error().message.find("is no operation on a thing"), std::string::npos);
    }
}

TEST(PlanTest, KnowsWhatEachCommandMakes)
{
    const struct {
        const char* execute;
        const char* argument;
        const char* kind;
        const char* undo;
    } rows[] = {
        {"device_add", "id", "device", "device_del"},
        {"chardev-add", "id", "chardev", "chardev-remove"},
        {"blockdev-add", "node-name", "node", "blockdev-del"},
        {"object-add", "id", "object", "object-del"},
        {"netdev_add", "id", "netdev", "netdev_del"},
    };
    for (const auto& row : rows) {
        const auto made =
            product_of(Command{row.execute, std::string("{\"") + row.argument + "\":\"x\"}"});
        ASSERT_TRUE(made && *made) << row.execute;
        EXPECT_EQ((*made)->kind, row.kind);
        EXPECT_EQ((*made)->name, "x");
        EXPECT_EQ((*made)->undo->execute, row.undo);
        EXPECT_EQ((*made)->undo->arguments, std::string("{\"") + row.argument + "\":\"x\"}");
        // Without a name of its own a later look could not find it.
        for (const char* arguments : {"", "{}", R"({"id":"","node-name":""})", R"({"id":1})"})
            EXPECT_FALSE(product_of(Command{row.execute, arguments})) << row.execute << arguments;
    }
    const auto none = product_of(Command{"stop", ""});
    ASSERT_TRUE(none);
    EXPECT_FALSE(*none);
}

TEST(PlanTest, ItsOwnUndoAndProbeCount)
{
    const auto plan = compile(R"({"key":"k","steps":[
        {"execute":"x-make","arguments":{"a":1.50}},
        {"execute":"device_add","arguments":{"id":"d"}}],
        "undo":[{"execute":"x-unmake"},null],
        "probe":[{"kind":"object","name":"o"},{"kind":"device","name":"d"}]})");
    ASSERT_TRUE(plan) << plan.error().message;
    EXPECT_EQ(plan->steps[0].command.arguments, R"({"a":1.50})");  // numbers as they are spelled
    EXPECT_EQ(plan->steps[0].undo->execute, "x-unmake");
    EXPECT_FALSE(plan->steps[1].undo);           // null: not to be undone
    ASSERT_EQ(plan->probe.products.size(), 2U);  // the device, named twice, is there once
    EXPECT_EQ(plan->probe.products[1].undo->execute, "object-del");
}

// R16: what a step made is undone; what another thing is made of is not taken out with it.
TEST(PlanTest, UndoTakesOutWhatItsOwnStepMade)
{
    const std::string made =
        R"({"key":"k","steps":[{"execute":"device_add","arguments":{"id":"d"}}],"undo":[)";
    EXPECT_TRUE(compile(made + R"({"execute":"device_del","arguments":{"id":"d"}}]})"));
    for (const std::string undo :
         {R"({"execute":"device_del","arguments":{"id":"other"}})", R"({"execute":"device_del"})",
          R"({"execute":"blockdev-del","arguments":{"node-name":"d"}})"}) {
        const auto plan = compile(made + undo + "]}");
        ASSERT_FALSE(plan) << undo;
        EXPECT_NE(plan.error().message.find("something other than the step's device \"d\""),
                  std::string::npos)
            << plan.error().message;
    }
}

TEST(PlanTest, RefusesWhatCouldNotBeUndoneOrFound)
{
    const struct {
        const char* text;
        const char* said;
    } rows[] = {
        {R"({"key":"k"})", "steps"},
        {R"({"key":"k","steps":[]})", "steps"},
        {R"({"key":"k","steps":{}})", "steps"},
        {R"({"key":"k","steps":[1]})", "object"},
        {R"({"key":"k","steps":[{}]})", "execute"},
        {R"({"key":"k","steps":[{"execute":""}]})", "execute"},
        {R"({"key":"k","steps":[{"execute":1}]})", "execute"},
        {R"({"key":"k","steps":[{"execute":"stop"}]})", "step 1"},
        {R"({"key":"k","steps":[{"execute":"device_add","arguments":[]}]})", "arguments"},
        {R"({"key":"k","steps":[{"execute":"device_add","arguments":{}}]})", "id"},
        {R"({"key":"k","steps":[{"execute":"device_add","arguments":{"id":"d"},"undo":null}]})",
         "undo"},
        {R"({"key":"k","also":1,"steps":[{"execute":"device_add","arguments":{"id":"d"}}]})",
         "also"},
        {R"({"key":"k","steps":[{"execute":"device_add","arguments":{"id":"d"}}],"undo":[]})",
         "undo"},
        {R"({"key":"k","steps":[{"execute":"device_add","arguments":{"id":"d"}}],"undo":{}})",
         "undo"},
        {R"({"key":"k","steps":[{"execute":"device_add","arguments":{"id":"d"}}],"undo":[1]})",
         "object"},
        {R"({"key":"k","steps":[{"execute":"x"}],"undo":[null]})", "probe"},
        {R"({"key":"k","steps":[{"execute":"x"}],"undo":[null],"probe":[]})", "probe"},
        {R"({"key":"k","steps":[{"execute":"x"}],"undo":[null],"probe":{}})", "probe"},
        {R"({"key":"k","steps":[{"execute":"x"}],"undo":[null],"probe":[{"kind":"device"}]})",
         "name"},
        {R"({"key":"k","steps":[{"execute":"x"}],"undo":[null],"probe":[{"kind":"moon","name":"n"}]})",
         "kind"},
        {R"({"key":"k","steps":[{"execute":"device_add","arguments":{"id":"d"},"file":"/f"}]})",
         "file"},
        {R"({"key":"k","steps":[{"execute":"device_add","arguments":{"id":"d"},"capture":"c"}]})",
         "capture"},
    };
    for (const auto& row : rows) {
        const auto plan = compile(row.text);
        ASSERT_FALSE(plan) << row.text;
        EXPECT_EQ(plan.error().code, Errc::invalid);
        EXPECT_NE(plan.error().message.find(row.said), std::string::npos)
            << row.text << ": " << plan.error().message;
    }
}

// R16: what is looked for afterwards is the text of the plan; QEMU was sent the number.
TEST(PlanTest, CapturedNumberIdentifiesNothing)
{
    const std::string add_fd = R"({"execute":"add-fd","arguments":{"opaque":"o"},"file":"/f"},)";
    const std::string device = R"({"execute":"device_add","arguments":{"id":"d"}})";
    const auto plan_of = [&](const std::string& rest) {
        return R"({"key":"k","steps":[)" + add_fd + rest + "}";
    };
    const std::string refused[] = {
        plan_of(R"({"execute":"device_add","arguments":{"id":"d$fdset"}}])"),
        plan_of(
            R"({"execute":"blockdev-add","arguments":{"node-name":"$fdset","driver":"file"}}])"),
        plan_of(R"({"execute":"chardev-add","arguments":{"id":"c-$fdset-x"}}])"),
        plan_of(R"({"execute":"object-add","arguments":{"id":"o$fdset"}}])"),
        plan_of(R"({"execute":"netdev_add","arguments":{"id":"n$fdset"}}])"),
        // A node within a node.
        plan_of(
            R"({"execute":"blockdev-add","arguments":{"node-name":"n","file":{"node-name":"f$fdset"}}}])"),
        // A set of its own, by the number of another; before it or after it.
        plan_of(
            R"({"execute":"add-fd","arguments":{"opaque":"o$fdset"},"file":"/g","capture":"b"},)" +
            device + "]"),
        R"({"key":"k","steps":[{"execute":"device_add","arguments":{"id":"a$b"}},)"
        R"({"execute":"add-fd","arguments":{"opaque":"o"},"file":"/g","capture":"b"},)" +
            device + "]}",
        // What proves it, and what takes it out again.
        plan_of(device + R"(],"probe":[{"kind":"object","name":"o$fdset"}])"),
        plan_of(device +
                R"(],"undo":[null,{"execute":"device_del","arguments":{"id":"d$fdset"}}])"),
    };
    for (const auto& text : refused) {
        const auto plan = compile(text);
        ASSERT_FALSE(plan) << text;
        EXPECT_EQ(plan.error().code, Errc::invalid);
        EXPECT_NE(plan.error().message.find("R16"), std::string::npos) << plan.error().message;
    }
    const std::string taken[] = {
        plan_of(
            R"({"execute":"blockdev-add","arguments":{"node-name":"n","filename":"/dev/fdset/$fdset"}}])"),
        plan_of(R"({"execute":"x-use","arguments":{"set":"$fdset"}},)" + device +
                R"(],"undo":[{"execute":"remove-fd","arguments":{"fdset-id":"$fdset"}},)"
                R"({"execute":"x-unuse","arguments":{"set":"$fdset"}},null])"),
        // No number is captured by that name.
        plan_of(R"({"execute":"device_add","arguments":{"id":"d$other"}}])"),
        R"({"key":"k","steps":[{"execute":"device_add","arguments":{"id":"d$fdset"}}]})",
    };
    for (const auto& text : taken)
        EXPECT_TRUE(compile(text)) << text;
}

bool equal(const std::optional<Command>& a, const std::optional<Command>& b)
{
    if (!a || !b) return !a && !b;
    return a->execute == b->execute && a->arguments == b->arguments;
}

// What an intent keeps is what recovery reads, character for character.
TEST(PlanTest, StepsAndProbeComeBackAsTheyWere)
{
    std::vector<Step> steps;
    steps.push_back(Step{{"add-fd", R"({"opaque":"raw:/a \"b\".iso"})"},
                         Command{"remove-fd", R"({"fdset-id":"$fdset"})"},
                         "/a \"b\".iso\x01",
                         "fdset"});
    steps.push_back(Step{{"query-version", ""}, std::nullopt, {}, {}});
    const auto steps_again = steps_from_json(steps_to_json(steps));
    ASSERT_TRUE(steps_again);
    ASSERT_EQ(steps_again->size(), steps.size());
    for (std::size_t i = 0; i < steps.size(); ++i) {
        EXPECT_TRUE(equal((*steps_again)[i].command, steps[i].command));
        EXPECT_TRUE(equal((*steps_again)[i].undo, steps[i].undo));
        EXPECT_EQ((*steps_again)[i].file, steps[i].file);
        EXPECT_EQ((*steps_again)[i].capture, steps[i].capture);
    }
    EXPECT_EQ(steps_to_json(*steps_again), steps_to_json(steps));

    Probe probe;
    probe.products.push_back(Product{"device", "d\"0", Command{"device_del", R"({"id":"d"})"}});
    probe.products.push_back(Product{"node", "n", std::nullopt});
    for (const auto& seen : {std::optional<std::string>(), std::optional<std::string>("")}) {
        probe.drive = DriveProbe{"ide-5632", "raw:/a", std::nullopt, seen, {}};
        const auto again = probe_from_json(probe_to_json(probe));
        ASSERT_TRUE(again);
        EXPECT_EQ(probe_to_json(*again), probe_to_json(probe));
        EXPECT_TRUE(equal(again->products[0].undo, probe.products[0].undo));
        EXPECT_FALSE(again->products[1].undo);
        EXPECT_EQ(again->drive->before, "raw:/a");
        EXPECT_EQ(again->drive->after, std::nullopt);  // an empty drive is not one with no name
        EXPECT_EQ(again->drive->seen, seen);
    }
    probe.drive.reset();
    EXPECT_FALSE(probe_from_json(probe_to_json(probe))->drive);
}

// From disk, and so not to be trusted either.
TEST(PlanTest, DamagedRecordsAreRefused)
{
    for (const char* text : {"{}", "[1]", "[{}]", R"([{"execute":"x","undo":1}])",
                             R"([{"execute":"x","arguments":1}])"})
        EXPECT_FALSE(steps_from_json(text)) << text;
    for (const char* text :
         {"{}", R"({"products":{}})", R"({"products":[{}]})", R"({"products":[{"kind":"device"}]})",
          R"({"products":[],"drive":{}})", R"({"products":[{"kind":"a","name":"b","undo":1}]})"})
        EXPECT_FALSE(probe_from_json(text)) << text;
}

TEST(PlanTest, RemovalGoesBackwards)
{
    const auto plan = compile(kDisk);
    ASSERT_TRUE(plan);
    auto products = plan->probe.products;
    products.push_back(Product{"object", "kept", std::nullopt});
    const auto steps = removal_steps(products);
    ASSERT_EQ(steps.size(), 2U);
    EXPECT_EQ(steps[0].command.execute, "device_del");
    EXPECT_EQ(steps[1].command.execute, "blockdev-del");
    EXPECT_FALSE(steps[0].undo);
}

}  // namespace
}  // namespace xlstore
