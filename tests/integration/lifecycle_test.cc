// SPDX-License-Identifier: MIT
// The life of an incarnation with a real QEMU and the real commands: created, registered, destroyed.
// Killed on the way: lifecycle_crash_test.cc.
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "store/os/listener.hpp"
#include "tests/integration/lifecycle_test.hpp"
#include "tests/support/scratch.hpp"
#include "tests/support/scripted_peer.hpp"

namespace xlstore::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST_F(LifecycleTest, CreatesShowsListsAndDestroys)
{
    const Ran created = xl({"--json", "create", "7", material_.document, "--", "sh", "-c", "exit"});
    EXPECT_EQ(created.status, 1);  // no QEMU at all: only here to begin with a failure

    const ScratchDomain domain(store_);
    ASSERT_TRUE(is_alive(domain.qemu_pid()));
    const auto id = cell("SELECT id FROM domain WHERE state = 'running'");
    const auto socket = store_.path() + "/run/qmp-" + id;
    EXPECT_TRUE(std::filesystem::exists(socket));
    EXPECT_TRUE(store_and_qemu_agree(store_.path(), domain.judge()));

    const Ran list = xl({"list"});
    EXPECT_TRUE(contains(list.out, "web"));
    EXPECT_TRUE(contains(list.out, "running"));
    for (const std::string word : {"7", "domid:7", "web", "name:web"}) {
        const Ran show = xl({"--json", "show", word});
        EXPECT_EQ(json_at(show.out, "$.state"), "running") << word;
        EXPECT_EQ(json_at(show.out, "$.qemu_pid"), std::to_string(domain.qemu_pid()));
        EXPECT_EQ(json_at(show.out, "$.document.c_info.name"), "web");
    }
    EXPECT_EQ(json_at(xl({"--json", "show", "uuid:" + material_.uuid}).out, "$.domid"), "7");
    const Ran again = fsck({"-n"});
    EXPECT_TRUE(ended(again, 0)) << again.out;

    EXPECT_TRUE(ended(xl({"destroy", "7"}), 0));
    EXPECT_FALSE(is_alive(domain.qemu_pid()));
    EXPECT_FALSE(std::filesystem::exists(socket));
    EXPECT_EQ(xl({"list"}).out, "");
    EXPECT_EQ(cell("SELECT state FROM domain WHERE id = " + id), "destroyed");
    EXPECT_EQ(cell("SELECT count(*) FROM thing"), "0");
    EXPECT_EQ(cell("SELECT count(*) FROM document_member"), "0");
    EXPECT_EQ(cell("SELECT count(*) FROM session"), "0");
    EXPECT_TRUE(ended(fsck({"-n"}), 0));
}

// R13, seen from inside: the program that is run as QEMU finds its own pid in the row.
TEST_F(LifecycleTest, PidIsInTheRowWhenQemuBeginsToRun)
{
    const auto seen = store_.directory() / "seen";
    const auto program =
        script_file(store_.directory(), "qemu",
                    binary("xlstore") + " --store " + store_.path() +
                        " sql \"SELECT qemu_pid = $$ AND state = 'creating' FROM domain\" >" +
                        seen + " 2>&1\nexec qemu-system-x86_64 \"$@\"\n");
    Words command = material_.qemu();
    command[0] = program;

    ASSERT_TRUE(ended(create(command), 0));

    EXPECT_EQ(read_file(seen), "1\n");
}

TEST_F(LifecycleTest, QemuThatDiesWhileStartingIsRefusedWithItsLastWords)
{
    Words command = material_.qemu();
    command.push_back("-no-such-option");

    const Ran ran = create(command);

    EXPECT_TRUE(ended(ran, 1));
    EXPECT_TRUE(contains(ran.err, "no-such-option: invalid option"));
    expect_nothing_left();
}

TEST_F(LifecycleTest, QemuThatDaemonizesIsRefusedAndNoneIsLeft)
{
    Words command = material_.qemu();
    command.push_back("-daemonize");

    const Ran ran = create(command);

    EXPECT_TRUE(ended(ran, 1));
    expect_nothing_left();
}

TEST_F(LifecycleTest, WrappedQemuIsRefusedAndNoneIsLeft)
{
    Words command = {"sh", "-c", "\"$@\" & wait", "wrapper"};
    const Words qemu = material_.qemu();
    command.insert(command.end(), qemu.begin(), qemu.end());

    const Ran ran = create(command);

    EXPECT_TRUE(ended(ran, 1));
    EXPECT_TRUE(contains(ran.err, "R11"));
    expect_nothing_left();
}

// The wrapper ends before its QEMU answers: no process waits for it, and the orphan must not stay.
TEST_F(LifecycleTest, QemuOfAWrapperThatDiedIsNotLeft)
{
    Words command = {"sh", "-c", "(sleep 0.3; exec \"$@\") & exit 0", "wrapper"};
    const Words qemu = material_.qemu();
    command.insert(command.end(), qemu.begin(), qemu.end());

    const Ran ran = create(command);

    EXPECT_TRUE(ended(ran, 1));
    EXPECT_FALSE(wait_until(seconds(2), [&] { return !qemus().empty(); }))
        << "a QEMU without a row runs";
}

TEST_F(LifecycleTest, ProgramThatIsNotThereIsRefused)
{
    const Ran ran = xl({"--json", "create", "7", material_.document, "--", "/no/such/qemu"});

    EXPECT_TRUE(ended(ran, 1));  // 4 would say that there is no such domain
    EXPECT_TRUE(contains(json_at(ran.out, "$.error.message"), "/no/such/qemu"));
    expect_nothing_left();
}

TEST_F(LifecycleTest, ProgramThatCannotBeRunIsRefused)
{
    const auto program = store_.directory() / "qemu";
    write_file(program, "neither a script nor a program");
    chmod(program.c_str(), 0700);

    EXPECT_TRUE(ended(create({program}), 1));
    expect_nothing_left();
}

TEST_F(LifecycleTest, NoCommandIsRefused)
{
    const Ran ran = xl({"create", "7", material_.document});
    EXPECT_TRUE(ran.status == 1 || ran.status == 2) << ran.status;
    EXPECT_EQ(cell("SELECT count(*) FROM domain"), "0");
}

TEST_F(LifecycleTest, StoreDirectoryTooLongForASocketIsRefused)
{
    const auto deep = store_.directory() / std::string(90, 'd');
    ASSERT_TRUE(ended(xlstore(deep, {"init"}), 0));

    const Ran ran = xlstore(deep, create_words(7, material_, material_.qemu()));

    EXPECT_TRUE(ended(ran, 1));
    EXPECT_TRUE(contains(ran.err, deep));
    EXPECT_TRUE(contains(ran.err, "107"));
    EXPECT_EQ(sql(deep, "SELECT count(*) FROM domain"), "0");
    EXPECT_TRUE(qemus().empty());
}

TEST_F(LifecycleTest, DomidThatIsTakenIsRefused)
{
    const ScratchDomain domain(store_);
    const auto before = dump(store_.path());

    const Ran ran = xl({"--json", "create", "7", material_.document, "--", "true"});
    const Ran imported = xl({"--json", "import", "7", material_.document});

    EXPECT_TRUE(ended(ran, 1));
    EXPECT_EQ(json_at(ran.out, "$.error.code"), "exists");
    EXPECT_TRUE(ended(imported, 1));
    EXPECT_EQ(json_at(imported.out, "$.error.code"), "exists");
    EXPECT_EQ(dump(store_.path()), before);
    EXPECT_TRUE(is_alive(domain.qemu_pid()));
}

// The "Bad input", for documents.
TEST_F(LifecycleTest, BadDocumentIsRefusedAndNothingIsChanged)
{
    const std::string good = hvm_document("web", material_.uuid, material_.images['a']);
    const auto with = [&](const std::string& from, const std::string& to) {
        std::string text = good;
        return text.replace(text.find(from), from.size(), to);
    };
    std::string deep;
    for (int i = 0; i < 100; ++i)
        deep += "[";
    const struct {
        const char* what;
        std::string text;
        const char* said;
    } cases[] = {
        {"malformed", good.substr(0, good.size() / 2), ":"},
        {"position", with("\"max_vcpus\": 2,", "\"max_vcpus\": 2,,"), "10:24"},
        {"empty", "", ""},
        {"duplicate key", with("\"max_vcpus\": 2,", "\"max_vcpus\": 2, \"max_vcpus\": 2,"),
         "max_vcpus"},
        {"too deep", with("\"max_vcpus\": 2,", "\"max_vcpus\": " + deep), "deep"},
        {"too large", good + std::string(std::size_t{16} << 20U, ' '), "large"},
        {"name not UTF-8", with("\"web\"", "\"w\xff\""), "UTF-8"},
        {"same thing twice", with("\"xvda\"", "\"hdc\""), "hdc"},
        {"no uuid", with(material_.uuid, "nonsense"), "uuid"},
        {"an array", "[]", ""},
    };
    const auto before = dump(store_.path());
    for (const auto& [what, text, said] : cases) {
        SCOPED_TRACE(what);
        write_file(material_.document, text);
        for (const Words& words :
             {create_words(7, material_, {"touch", store_.directory() / "ran"}),
              Words{"import", "7", material_.document}}) {
            const Ran ran = xl(words);
            EXPECT_TRUE(ended(ran, 1));
            EXPECT_TRUE(contains(ran.err, material_.document));
            EXPECT_TRUE(contains(ran.err, said));
        }
        const Ran as_json = xl({"--json", "import", "7", material_.document});
        EXPECT_EQ(json_at(as_json.out, "$.error.code"), "invalid");
    }
    EXPECT_TRUE(ended(xl({"import", "7", "/no/such/file"}), 1));
    EXPECT_TRUE(ended(xl({"import", "7", store_.path()}), 1));  // a directory
    write_file(material_.document, good);
    EXPECT_TRUE(ended(xl({"import", "40000", material_.document}), 2));
    EXPECT_EQ(dump(store_.path()), before);
    EXPECT_FALSE(std::filesystem::exists(store_.directory() / "ran"));
}

/// A QEMU that the test starts itself, with a monitor of its own beside the judge's.
class ForeignQemu {
public:
    ForeignQemu(const ScratchDirectory& directory, const Material& material,
                const std::string& name, bool empty_drive = false)
        : monitor(directory / name),
          judge(directory / (name + "-judge")),
          child_(command(material, empty_drive))
    {
        // Both: QEMU makes its sockets one after the other, and binds each before it listens there.
        if (!wait_until(seconds(20), [&] { return who_listens(judge) && who_listens(monitor); }))
            ADD_FAILURE() << "QEMU does not come up";
    }
    const std::string monitor;
    const std::string judge;
    [[nodiscard]] pid_t pid() const { return child_.pid(); }
    Child& child() { return child_; }

private:
    [[nodiscard]] Words command(const Material& material, bool empty_drive) const
    {
        Words words = qemu_command(material.images.at('a'), judge);
        if (empty_drive)
            std::replace_if(
                words.begin(), words.end(),
                [](const std::string& word) { return word.starts_with("if=none,"); },
                "if=none,readonly=on,id=ide-5632");
        words.insert(words.end(),
                     {"-chardev", "socket,id=xlstore-cmd,server=on,wait=off,path=" + monitor,
                      "-mon", "chardev=xlstore-cmd,mode=control"});
        return words;
    }
    Child child_;
};

TEST_F(LifecycleTest, RegistersAQemuThatSomeoneElseStarted)
{
    ForeignQemu qemu(store_.directory(), material_, "foreign");
    ASSERT_TRUE(ended(xl({"import", "7", material_.document}), 0));
    const Ran without = xl({"--json", "insert", "7", "hdc", material_.images['b']});
    EXPECT_TRUE(ended(without, 1));
    EXPECT_EQ(json_at(without.out, "$.error.code"), "no_qemu");
    const auto before = dump(store_.path());

    // R11: the pid of another process.
    const Ran wrong = xl(
        {"--json", "register", "7", "--monitor", qemu.monitor, "--pid", std::to_string(getpid())});
    EXPECT_TRUE(ended(wrong, 1));
    EXPECT_EQ(json_at(wrong.out, "$.error.code"), "refused");
    EXPECT_EQ(dump(store_.path()), before);
    const Ran nowhere = xl({"register", "7", "--monitor", "/no/such/socket"});
    EXPECT_TRUE(ended(nowhere, 1));
    const Ran long_path = xl({"register", "7", "--monitor", "/" + std::string(120, 's')});
    EXPECT_TRUE(ended(long_path, 1));
    EXPECT_TRUE(contains(long_path.err, "107"));
    EXPECT_EQ(dump(store_.path()), before);

    // The right pid; then again, which is refused while that one lives.
    EXPECT_TRUE(ended(
        xl({"register", "7", "--monitor", qemu.monitor, "--pid", std::to_string(qemu.pid())}), 0));
    EXPECT_EQ(cell("SELECT state FROM domain"), "running");
    EXPECT_EQ(cell("SELECT qemu_pid FROM domain"), std::to_string(qemu.pid()));
    const Ran twice = xl({"--json", "register", "7", "--monitor", qemu.monitor});
    EXPECT_TRUE(ended(twice, 1));
    EXPECT_EQ(json_at(twice.out, "$.error.code"), "exists");
    EXPECT_TRUE(ended(xl({"insert", "7", "hdc", material_.images['b']}), 0));
    EXPECT_EQ(medium_of(qemu.judge), material_.images['b']);
    EXPECT_TRUE(ended(fsck({"-n"}), 0));

    // It dies; another takes its place, this time by its peer alone.
    qemu.child().signal(SIGKILL);
    qemu.child().wait();
    EXPECT_TRUE(ended(fsck({"-p"}), 1));
    ForeignQemu second(store_.directory(), material_, "second", true);
    EXPECT_TRUE(ended(xl({"register", "7", "--monitor", second.monitor}), 0));
    EXPECT_EQ(cell("SELECT qemu_pid FROM domain"), std::to_string(second.pid()));
    // The document said image b, and this QEMU has none: the document follows.
    EXPECT_EQ(medium_of(second.judge), "");
    EXPECT_EQ(cell("SELECT json_extract(json, '$.format') FROM thing WHERE key = 'hdc'"), "empty");
    EXPECT_TRUE(store_and_qemu_agree(store_.path(), second.judge));
}

TEST_F(LifecycleTest, OneQemuIsNotRegisteredForTwoDomains)
{
    const ScratchDomain domain(store_);
    const Material other(store_.directory(), 8, "other");
    ASSERT_TRUE(ended(xl({"import", "8", other.document}), 0));

    const Ran ran = xl({"register", "8", "--monitor", cell("SELECT monitor_path FROM domain")});

    EXPECT_TRUE(ended(ran, 1));
    EXPECT_EQ(cell("SELECT count(*) FROM domain WHERE qemu_pid IS NOT NULL"), "1");
}

TEST_F(LifecycleTest, QemuThatDiesByItselfIsUnregisteredOnce)
{
    const ScratchDomain domain(store_);
    ASSERT_TRUE(ended(xl({"attach", "7", "qemu", tablet("tab")}), 0));
    const auto document = xl({"export", "7"}).out;
    kill(domain.qemu_pid(), SIGKILL);
    ASSERT_TRUE(wait_until(seconds(10), [&] { return !is_alive(domain.qemu_pid()); }));

    const Ran refused = xl({"--json", "insert", "7", "hdc", domain.image('b')});
    EXPECT_TRUE(ended(refused, 1));
    EXPECT_EQ(json_at(refused.out, "$.error.code"), "no_qemu");
    EXPECT_TRUE(ended(fsck({"-n"}), 4));
    const Ran first = fsck({"-p"});
    EXPECT_TRUE(ended(first, 1));
    EXPECT_TRUE(contains(first.out, "UNREGISTERED"));
    EXPECT_TRUE(ended(fsck({"-p"}), 0));
    EXPECT_TRUE(ended(fsck({"-n"}), 0));

    EXPECT_EQ(cell("SELECT state FROM domain"), "running");
    EXPECT_EQ(cell("SELECT qemu_pid IS NULL FROM domain"), "1");
    EXPECT_EQ(cell("SELECT count(*) FROM stale_things"), "2");  // the CD, the tablet
    EXPECT_EQ(xl({"export", "7"}).out, document);
    EXPECT_TRUE(ended(xl({"destroy", "7"}), 0));
}

TEST_F(LifecycleTest, DestroysAStoppedQemu)
{
    const ScratchDomain domain(store_);
    kill(domain.qemu_pid(), SIGSTOP);

    EXPECT_TRUE(ended(xl({"--timeout", "20", "destroy", "7"}), 0));

    EXPECT_FALSE(is_alive(domain.qemu_pid()));
    // R18: repeated, it finds done what it asked for; of what never was, it does not say so.
    for (const auto& word : {std::string("7"), "uuid:" + domain.material().uuid}) {
        const Ran again = xl({"destroy", word});
        EXPECT_TRUE(ended(again, 0));
        EXPECT_TRUE(contains(again.out, "is destroyed already"));
    }
    EXPECT_EQ(json_at(xl({"--json", "destroy", "7"}).out, "$.destroyed_before"), "1");
    EXPECT_TRUE(ended(xl({"destroy", "8"}), 4));
    EXPECT_TRUE(ended(fsck({"-n"}), 0));
}

TEST_F(LifecycleTest, DestroyWithoutARowDefeatsTheNextCreationOnce)
{
    const Ran early = xl({"--json", "destroy", "7", "--uuid", material_.uuid});
    EXPECT_TRUE(ended(early, 0));
    EXPECT_EQ(json_at(early.out, "$.row"), "0");  // JSON's false

    const Ran defeated = xl(
        {"--json", "create", "7", material_.document, "--", "touch", store_.directory() / "ran"});
    EXPECT_TRUE(ended(defeated, 1));
    EXPECT_EQ(json_at(defeated.out, "$.error.code"), "gone");
    EXPECT_FALSE(std::filesystem::exists(store_.directory() / "ran"));
    EXPECT_EQ(cell("SELECT count(*) FROM tombstone"), "0");

    EXPECT_TRUE(ended(create(material_.qemu()), 0));
    const Ran late = xl({"--json", "destroy", "7", "--uuid", material_.uuid});
    EXPECT_TRUE(ended(late, 0));
    EXPECT_EQ(json_at(late.out, "$.row"), "1");
    EXPECT_TRUE(qemus().empty());
}

// A uuid is the same in either case; documents are kept in lower case.
TEST_F(LifecycleTest, TombstoneDoesNotDependOnTheCaseOfItsUuid)
{
    std::string upper = material_.uuid;
    for (char& c : upper)
        c = static_cast<char>(std::toupper(c));
    ASSERT_TRUE(ended(xl({"destroy", "7", "--uuid", upper}), 0));

    EXPECT_TRUE(ended(create(material_.qemu()), 1));

    ASSERT_TRUE(ended(create(material_.qemu()), 0));
    EXPECT_TRUE(ended(xl({"destroy", "7", "--uuid", upper}), 0));
    EXPECT_TRUE(qemus().empty()) << "the domain was not found by its uuid";
}

TEST_F(LifecycleTest, DestroyRefusesWhatCanBeNoDomain)
{
    const auto before = dump(store_.path());
    EXPECT_NE(xl({"destroy", "7", "--uuid", "nonsense"}).status, 0);
    EXPECT_NE(xl({"destroy", "99999", "--uuid", material_.uuid}).status, 0);
    EXPECT_NE(xl({"destroy", "seven", "--uuid", material_.uuid}).status, 0);
    EXPECT_EQ(dump(store_.path()), before);
}

// A tombstone is for one domid and uuid of this boot.
TEST_F(LifecycleTest, TombstoneOfAnotherBootOrUuidDefeatsNothing)
{
    const Environment earlier = {{"XLSTORE_TEST_BOOT_ID", "00000000-0000-0000-0000-00000000aaaa"}};
    ASSERT_TRUE(ended(xl({"destroy", "7", "--uuid", material_.uuid}, earlier), 0));
    ASSERT_TRUE(ended(xl({"destroy", "7", "--uuid", "8f2c7d10-4b6e-4a51-9d3c-0000000000ff"}), 0));
    ASSERT_TRUE(ended(xl({"destroy", "8", "--uuid", material_.uuid}), 0));

    EXPECT_TRUE(ended(create(material_.qemu()), 0));
}

// After a reboot nothing of a row can be alive, even if another process has its pid by now.
TEST_F(LifecycleTest, RowsOfAnOlderBootAreRetiredWithoutProbing)
{
    const ScratchDomain domain(store_);
    const Material other(store_.directory(), 8, "elsewhere");
    ASSERT_TRUE(ended(xl({"import", "8", other.document}), 0));
    ASSERT_TRUE(
        ended(xl({"attach", "7", "qemu", tablet("tab")}, crash_at("commit.after", 2)), kKilled));
    const Material begun(store_.directory(), 9, "begun");
    ASSERT_TRUE(ended(
        xl(create_words(9, begun, begun.qemu()), crash_at("spawn.after_fork")), kKilled));
    kill(domain.qemu_pid(), SIGSTOP);  // a probe would hang, and be seen
    const Environment later = {{"XLSTORE_TEST_BOOT_ID", "00000000-0000-0000-0000-00000000bbbb"}};

    const Ran refused = xlstore(store_.path(), {"insert", "7", "hdc", domain.image('b')}, later);
    EXPECT_NE(refused.status, 0);
    EXPECT_TRUE(ended(xlfsck(store_.path(), {"-n"}, later), 4));
    // Such a boot leaves its QEMU alive, which then is one that no domain has: it is named (2).
    const Ran first = xlfsck(store_.path(), {"-p"}, later);
    EXPECT_TRUE(ended(first, 1 + 2));
    EXPECT_TRUE(ended(xlfsck(store_.path(), {"-n"}, later), 2));

    EXPECT_EQ(cell("SELECT count(*) FROM domain WHERE state <> 'destroyed'"), "0");
    EXPECT_EQ(cell("SELECT count(*) FROM intent"), "0");
    EXPECT_TRUE(is_alive(domain.qemu_pid())) << "the process that has the pid now was killed";
}

// R11: a path proves nothing. Another QEMU's socket in the place of ours gets no byte.
TEST_F(LifecycleTest, SocketThatWasReplacedIsSentNothing)
{
    const ScratchDomain domain(store_);
    const auto socket = cell("SELECT monitor_path FROM domain");
    std::filesystem::rename(socket, socket + ".away");
    const ScriptedPeer unrelated(socket, script({handshake(), {step::serve({})}}));
    const auto before = dump(store_.path());
    const auto qemu_before = state_of(domain.judge());

    const Ran ran = xl({"--json", "--timeout", "5", "insert", "7", "hdc", domain.image('b')});

    EXPECT_TRUE(ended(ran, 1));
    EXPECT_EQ(json_at(ran.out, "$.error.code"), "refused");
    EXPECT_TRUE(unrelated.received().empty());
    EXPECT_EQ(dump(store_.path()), before);
    EXPECT_EQ(state_of(domain.judge()), qemu_before);

    // Nor is the unrelated process's socket taken away when the domain is destroyed.
    EXPECT_TRUE(ended(xl({"destroy", "7"}), 0));
    EXPECT_TRUE(std::filesystem::exists(socket));
    EXPECT_TRUE(unrelated.received().empty());
    EXPECT_TRUE(is_alive(unrelated.pid()));  // it listened at our path, and that is no crime
}

// The same peer, and yet not the socket that was registered.
TEST_F(LifecycleTest, AnotherSocketOfTheSameQemuIsRefused)
{
    const ScratchDomain domain(store_);
    const auto socket = cell("SELECT monitor_path FROM domain");
    std::filesystem::rename(domain.judge(), socket);  // QEMU's second monitor

    const Ran ran = xl({"--json", "insert", "7", "hdc", domain.image('b')});

    EXPECT_TRUE(ended(ran, 1));
    EXPECT_EQ(json_at(ran.out, "$.error.code"), "refused");
    EXPECT_TRUE(contains(json_at(ran.out, "$.error.message"), "replaced"));
    EXPECT_EQ(cell("SELECT count(*) FROM history WHERE operation = 'change'"), "0");
}

// The same path, the same kind of process, even a QEMU: still another one.
TEST_F(LifecycleTest, SocketOfAnotherQemuIsRefused)
{
    const ScratchDomain domain(store_);
    const Material other_material(store_.directory(), 8, "other");
    const ForeignQemu other(store_.directory(), other_material, "other");
    const auto socket = cell("SELECT monitor_path FROM domain");
    std::filesystem::remove(socket);
    std::filesystem::rename(other.monitor, socket);
    const auto other_before = state_of(other.judge);

    const Ran ran = xl({"--json", "insert", "7", "hdc", domain.image('b')});

    EXPECT_TRUE(ended(ran, 1));
    EXPECT_EQ(json_at(ran.out, "$.error.code"), "refused");
    EXPECT_EQ(state_of(other.judge), other_before);
}

TEST_F(LifecycleTest, ImportAndExportAreByteExact)
{
    const std::string samples = XLSTORE_SOURCE_DIR "/tests/unit/samples/";
    int domid = 1;
    for (const char* name :
         {"all-device-kinds.json", "all-device-kinds.json_c.json", "hvm-rich.json",
          "hvm-rich.json_c.json", "hvm-rich.after-hotplug.on-disk.raw", "pv.json",
          "pvh-60-disks.json", "pvh-minimal.json", "real-hvm.raw", "real-pv.raw"}) {
        SCOPED_TRACE(name);
        std::string text = read_file(samples + name);
        ASSERT_FALSE(text.empty());
        const auto number = std::to_string(domid++);
        ASSERT_TRUE(ended(xl({"import", number, samples + name, "--force"}), 0));
        if (text.back() == '\0') text.pop_back();
        EXPECT_EQ(xl({"export", "domid:" + number}).out, text);
    }
    const Ran gone = xl({"--json", "export", "99"});
    EXPECT_TRUE(ended(gone, 4));
    EXPECT_EQ(json_at(gone.out, "$.error.code"), "not_found");
}

TEST_F(LifecycleTest, SecondInitIsRefused)
{
    const auto before = dump(store_.path());
    const Ran ran = xl({"--json", "init"});
    EXPECT_TRUE(ended(ran, 1));
    EXPECT_EQ(json_at(ran.out, "$.error.code"), "exists");
    EXPECT_EQ(dump(store_.path()), before);
    const Ran missing = xlstore(store_.directory() / "none", {"list"});
    EXPECT_TRUE(ended(missing, 1));
    EXPECT_TRUE(contains(missing.err, store_.directory() / "none"));
}

}  // namespace
}  // namespace xlstore::test
