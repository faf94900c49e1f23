// SPDX-License-Identifier: MIT
// A domain that another toolstack made comes into the store, with its QEMU or without one.
#include <signal.h>

#include <filesystem>
#include <functional>
#include <initializer_list>
#include <optional>

#include "store/core/store.hpp"
#include "tests/support/domain_test.hpp"
#include "tests/support/scratch_xenstored.hpp"
#include "tests/support/scripted_peer.hpp"
#include "tests/support/started_call.hpp"
#include "tests/support/stopping.hpp"
#include "xlstore/recovery.h"

namespace xlstore::test {
namespace {

using std::string;

/// The store, as another process has it open: its operations go on in run_handles() alone.
class OtherHandle {
public:
    explicit OtherHandle(const string& path)
    {
        EXPECT_EQ(xlstore_open(path.c_str(), nullptr, &handle_), XLSTORE_OK) << last_error();
    }
    OtherHandle(const OtherHandle&) = delete;
    OtherHandle& operator=(const OtherHandle&) = delete;
    ~OtherHandle() { xlstore_close(handle_); }
    operator xlstore_store*() const { return handle_; }

private:
    xlstore_store* handle_ = nullptr;
};

/// Dispatches these handles alone until `condition` holds.
bool run_handles(std::initializer_list<xlstore_store*> handles,
                 const std::function<bool()>& condition)
{
    return wait_until(std::chrono::seconds(60), [&] {
        for (auto* handle : handles)
            xlstore_dispatch(handle);
        return condition();
    });
}

/// Another toolstack's domain, and an empty store.
class AdoptTest : public testing::Test {
protected:
    int32_t adopt(const string& document, const string& monitor)
    {
        return xlstore_adopt(handle_, 9, document.c_str(),
                             monitor.empty() ? nullptr : monitor.c_str(), nullptr, nullptr);
    }
    void SetUp() override
    {
        ASSERT_EQ(xlstore_open(store_.path().c_str(), nullptr, &handle_), XLSTORE_OK)
            << last_error();
    }
    void TearDown() override { xlstore_close(handle_); }
    string cell(const string& query) { return sql(store_.path(), query); }
    void start(xlstore_store* handle, int domid, const string& document, const string& monitor,
               Told& told, xlstore_op** op = nullptr)
    {
        EXPECT_EQ(xlstore_adopt_start(handle, domid, document.c_str(),
                                      monitor.empty() ? nullptr : monitor.c_str(), nullptr, tell,
                                      &told, op),
                  XLSTORE_OK)
            << last_error();
        EXPECT_EQ(xlstore_dispatch(handle), XLSTORE_OK);
    }
    /// An adoption that has imported its row, and waits for this peer's greeting.
    void start_silent(const string& document, const string& monitor, Told& told)
    {
        start(handle_, 9, document, monitor, told);
        EXPECT_TRUE(
            run_handles({handle_}, [&] { return cell("SELECT count(*) FROM domain") == "1"; }));
        EXPECT_EQ(told.calls, 0) << told.message;
    }
    /// The host was booted since all that is in the store was written.
    void boot()
    {
        auto store = store_.open();
        store->db()
            .prepare("UPDATE domain SET boot_id = 'another' WHERE state <> 'destroyed'")
            .run();
    }
    string with_another_uuid(string document)
    {
        const auto at = document.find(domain_.material().uuid);
        EXPECT_NE(at, string::npos);
        document[at] = document[at] == 'a' ? 'b' : 'a';
        return document;
    }

    ScratchStore store_;
    ScratchStore other_;
    ScratchDomain domain_{other_};  // its QEMU is another store's; its second monitor is adopted
    xlstore_store* handle_ = nullptr;
};

TEST_F(AdoptTest, DocumentAndQemuComeInByOneCallAndQemuStaysAsItWas)
{
    const string document = read_file(domain_.material().document);
    // Nothing is left of an adoption that fails.
    EXPECT_NE(adopt(document, other_.directory() / "no-monitor"), XLSTORE_OK);
    EXPECT_EQ(cell("SELECT count(*) FROM domain"), "0");
    EXPECT_EQ(cell("SELECT count(*) FROM retired_document"), "0");

    const auto before = state_of(domain_.judge());
    ASSERT_EQ(adopt(document, domain_.judge()), XLSTORE_OK) << last_error();
    EXPECT_EQ(state_of(domain_.judge()), before);
    EXPECT_EQ(cell("SELECT qemu_pid FROM domains"), std::to_string(domain_.qemu_pid()));
    // Again: it is there.
    ASSERT_EQ(adopt(document, domain_.judge()), XLSTORE_OK) << last_error();
    EXPECT_EQ(cell("SELECT count(*) FROM domain WHERE state = 'running'"), "1");
}

TEST_F(AdoptTest, NameOfADomainThatXenHasNoMoreIsFree)
{
    XLSTORE_NEEDS_XENSTORED();
    ScratchXenstored daemon(store_.directory() / "xs");
    setenv("XENSTORED_PATH", daemon.socket().c_str(), 1);
    const auto document = [](char uuid) {
        return R"({"c_info": {"type": "pvh", "name": "one", "uuid": "0badcafe-2222-4333-8444-00000000000)" +
               string(1, uuid) + R"("}, "b_info": {"type.pvh": {}}})";
    };
    daemon.tool().introduce(21);
    ASSERT_EQ(xlstore_adopt(handle_, 21, document('1').c_str(), nullptr, nullptr, nullptr),
              XLSTORE_OK)
        << last_error();
    EXPECT_EQ(xlstore_adopt(handle_, 22, document('2').c_str(), nullptr, nullptr, nullptr),
              XLSTORE_E_EXISTS);
    daemon.tool().release(21);
    EXPECT_EQ(xlstore_adopt(handle_, 22, document('2').c_str(), nullptr, nullptr, nullptr),
              XLSTORE_OK)
        << last_error();
    unsetenv("XENSTORED_PATH");
}

TEST_F(AdoptTest, EarlierLifeOfTheDomidIsArchivedOnceItsQemuIsDead)
{
    const string document = read_file(domain_.material().document);
    const string next = with_another_uuid(document);
    ASSERT_EQ(adopt(document, domain_.judge()), XLSTORE_OK) << last_error();
    EXPECT_EQ(adopt(next, ""), XLSTORE_E_EXISTS);  // its QEMU lives
    ASSERT_EQ(kill(domain_.qemu_pid(), SIGKILL), 0);
    // Its threads end after the first of them.
    EXPECT_TRUE(wait_until(std::chrono::seconds(20), [&] { return adopt(next, "") == XLSTORE_OK; }))
        << last_error();
    EXPECT_EQ(cell("SELECT count(*) FROM domain WHERE state = 'running'"), "1");
    EXPECT_EQ(cell("SELECT count(*) FROM domain WHERE state = 'destroyed'"), "1");
}

// The domain runs on: no row that is left may tell recovery that it is over.
TEST_F(AdoptTest, AdoptionThatFailsLeavesXensDomainAlone)
{
    XLSTORE_NEEDS_XENSTORED();
    ScratchXenstored daemon(store_.directory() / "xs");
    setenv("XENSTORED_PATH", daemon.socket().c_str(), 1);
    daemon.tool().write("/local/domain/9/vm", "/vm/" + domain_.material().uuid);
    daemon.tool().introduce(9);
    const string document = read_file(domain_.material().document);
    EXPECT_EQ(adopt(document, other_.directory() / "no-monitor"), XLSTORE_E_PROTOCOL)
        << last_error();
    for (const bool introduced : {true, false}) {
        if (!introduced) daemon.tool().release(9);
        xlstore_recover_options look = XLSTORE_RECOVER_OPTIONS_INIT;
        look.mode = XLSTORE_RECOVER_LOOK;
        EXPECT_EQ(xlstore_recover(handle_, &look, nullptr), XLSTORE_OK) << last_error();
    }
    unsetenv("XENSTORED_PATH");
}

TEST_F(AdoptTest, DomainThatIsBeingCreatedOrDestroyedIsRefused)
{
    const string document = read_file(domain_.material().document);
    xlstore_creation* creation = nullptr;
    ASSERT_EQ(xlstore_creation_begin(handle_, 9, document.c_str(), nullptr, &creation), XLSTORE_OK)
        << last_error();
    const auto rows = dump(store_.path());
    EXPECT_EQ(adopt(document, ""), XLSTORE_E_CONFLICT) << last_error();
    EXPECT_EQ(adopt(document, domain_.judge()), XLSTORE_E_CONFLICT) << last_error();
    EXPECT_EQ(dump(store_.path()), rows);
    xlstore_creation_free(creation);
    ASSERT_EQ(xlstore_destroy(handle_, "domid:9", nullptr, nullptr), XLSTORE_OK) << last_error();

    ASSERT_EQ(adopt(document, domain_.judge()), XLSTORE_OK) << last_error();
    ASSERT_EQ(xlstore_mark_destroying(handle_, "domid:9", nullptr, nullptr), XLSTORE_OK);
    EXPECT_EQ(adopt(document, domain_.judge()), XLSTORE_E_GONE) << last_error();
    EXPECT_EQ(adopt(document, ""), XLSTORE_E_GONE) << last_error();
}

// The same machine, started anew, has the same uuid; nothing of the row before can be alive.
TEST_F(AdoptTest, RowOfAnOlderBootIsAnEarlierLife)
{
    const string document = read_file(domain_.material().document);
    ASSERT_EQ(adopt(document, ""), XLSTORE_OK) << last_error();
    boot();
    ASSERT_EQ(adopt(document, domain_.judge()), XLSTORE_OK) << last_error();
    EXPECT_EQ(cell("SELECT group_concat(state) FROM domain"), "destroyed,running");
    // Under another domid, and another name.
    ASSERT_EQ(xlstore_rename(handle_, "domid:9", "before", 0, nullptr, nullptr), XLSTORE_OK);
    boot();
    ASSERT_EQ(
        xlstore_adopt(handle_, 10, document.c_str(), domain_.judge().c_str(), nullptr, nullptr),
        XLSTORE_OK)
        << last_error();
    EXPECT_EQ(cell("SELECT group_concat(state) FROM domain"), "destroyed,destroyed,running");
    EXPECT_EQ(cell("SELECT count(*) FROM retired_document"), "2");
}

// As by two programs that meet the domain first: none is told that it is in its own way.
TEST_F(AdoptTest, TwoAtOnceAreBothDone)
{
    const string document = read_file(domain_.material().document);
    for (const bool both_import : {true, false}) {
        auto other = store_.open();
        std::optional<ByteLock> lock;
        if (both_import) {
            auto held = other->locks().try_acquire(LockKind::writer, 0);
            ASSERT_TRUE(held && *held);
            lock = **std::move(held);
        }
        Told told[2];
        for (auto& one : told) {
            ASSERT_EQ(xlstore_adopt_start(handle_, 9, document.c_str(), domain_.judge().c_str(),
                                          nullptr, tell, &one, nullptr),
                      XLSTORE_OK)
                << last_error();
            EXPECT_EQ(xlstore_dispatch(handle_), XLSTORE_OK);
        }
        lock.reset();
        ASSERT_TRUE(wait_until(std::chrono::seconds(60), [&] {
            xlstore_dispatch(handle_);
            return told[0].calls + told[1].calls == 2;
        }));
        for (const auto& one : told)
            EXPECT_EQ(one.status, XLSTORE_OK) << one.message;
        EXPECT_EQ(cell("SELECT count(*) FROM domain WHERE state = 'running'"), "1");
        // Its row goes, and its QEMU stays.
        other->db().prepare("UPDATE domain SET boot_id = 'another'").run();
    }
}

// R18: two commits, and what comes between them is said.
TEST_F(AdoptTest, CancelledBetweenItsCommitsIsUnfinishedAndGoesOn)
{
    const string document = read_file(domain_.material().document);
    Told told;
    const auto run_until = [&](const std::function<bool()>& condition) {
        return wait_until(std::chrono::seconds(30),
                          [&] { return condition() || (xlstore_dispatch(handle_), condition()); });
    };
    kill(domain_.qemu_pid(), SIGSTOP);  // it does not come past the barrier
    xlstore_op* op = nullptr;
    ASSERT_EQ(xlstore_adopt_start(handle_, 9, document.c_str(), domain_.judge().c_str(), nullptr,
                                  tell, &told, &op),
              XLSTORE_OK)
        << last_error();
    ASSERT_TRUE(run_until([&] { return cell("SELECT count(*) FROM domain") == "1"; }));
    ASSERT_EQ(told.calls, 0);
    xlstore_op_cancel(op);
    ASSERT_TRUE(run_until([&] { return told.calls > 0; }));
    kill(domain_.qemu_pid(), SIGCONT);
    EXPECT_EQ(told.status, XLSTORE_E_UNFINISHED);
    EXPECT_TRUE(contains(told.message, "its document came in")) << told.message;
    EXPECT_EQ(cell("SELECT state FROM domain"), "running");
    // As the advice has it.
    EXPECT_EQ(adopt(document, domain_.judge()), XLSTORE_OK) << last_error();
    EXPECT_EQ(cell("SELECT qemu_pid FROM domain"), std::to_string(domain_.qemu_pid()));
}

// The store may be used from another directory later.
TEST_F(AdoptTest, MonitorIsKeptByItsWholePathAndAnotherOneIsRefused)
{
    const string document = read_file(domain_.material().document);
    const auto here = std::filesystem::current_path();
    const std::filesystem::path judge = domain_.judge();
    std::filesystem::current_path(judge.parent_path());
    EXPECT_EQ(adopt(document, judge.filename().string()), XLSTORE_OK) << last_error();
    std::filesystem::current_path(here);
    EXPECT_EQ(cell("SELECT monitor_path FROM domain"), judge.string());
    EXPECT_EQ(adopt(document, judge.string()), XLSTORE_OK) << last_error();
    EXPECT_EQ(adopt(document, sql(other_.path(), "SELECT monitor_path FROM domain")),
              XLSTORE_E_EXISTS);
    EXPECT_TRUE(contains(last_error(), judge.string())) << last_error();
    EXPECT_EQ(cell("SELECT monitor_path FROM domain"), judge.string());
}

TEST_F(AdoptTest, EarlierLifeWithoutAQemuIsArchivedOnXenstoredsWordAlone)
{
    XLSTORE_NEEDS_XENSTORED();
    const string document = read_file(domain_.material().document);
    const string next = with_another_uuid(document);
    ASSERT_EQ(adopt(document, ""), XLSTORE_OK) << last_error();
    const auto rows = dump(store_.path());

    setenv("XENSTORED_PATH", (store_.directory() / "no-xenstored").c_str(), 1);
    EXPECT_EQ(adopt(next, ""), XLSTORE_E_EXISTS) << last_error();  // whether it lives is not known
    ScratchXenstored daemon(store_.directory() / "xs");
    setenv("XENSTORED_PATH", daemon.socket().c_str(), 1);
    daemon.tool().write("/local/domain/9/vm", "/vm/" + domain_.material().uuid);
    EXPECT_EQ(adopt(next, ""), XLSTORE_E_EXISTS) << last_error();  // it does
    EXPECT_EQ(dump(store_.path()), rows);
    daemon.tool().remove("/local/domain/9");
    // It is over, but the call fails, and changes nothing.
    EXPECT_EQ(adopt(next, other_.directory() / "no-monitor"), XLSTORE_E_PROTOCOL) << last_error();
    EXPECT_EQ(dump(store_.path()), rows);
    EXPECT_EQ(adopt(next, domain_.judge()), XLSTORE_OK) << last_error();
    EXPECT_EQ(cell("SELECT group_concat(state) FROM domain"), "destroyed,running");
    unsetenv("XENSTORED_PATH");
}

// A QEMU that is stopped keeps an adoption waiting after it has judged the row to be over.
TEST_F(AdoptTest, RowThatAnotherProcessGivesAQemuMeanwhileStays)
{
    const string document = read_file(domain_.material().document);
    const OtherHandle other(store_.path());
    for (const int domid : {9, 10}) {  // the same one that the row has, and another one
        boot();
        ASSERT_EQ(adopt(document, ""), XLSTORE_OK) << last_error();
        boot();
        const string row = "FROM domain WHERE id = " + cell("SELECT max(id) FROM domain");
        kill(domain_.qemu_pid(), SIGSTOP);
        Told registered;
        Told adopted;
        ASSERT_EQ(xlstore_register_start(other, "domid:9", domain_.judge().c_str(), 0, 0, nullptr,
                                         tell, &registered, nullptr),
                  XLSTORE_OK)
            << last_error();
        EXPECT_EQ(xlstore_dispatch(other), XLSTORE_OK);
        start(handle_, domid, document, domain_.judge(), adopted);
        kill(domain_.qemu_pid(), SIGCONT);
        ASSERT_TRUE(
            run_handles({other, handle_}, [&] { return registered.calls + adopted.calls == 2; }));
        EXPECT_EQ(registered.status, XLSTORE_OK) << registered.message;
        EXPECT_EQ(adopted.status, domid == 9 ? XLSTORE_OK : XLSTORE_E_EXISTS) << adopted.message;
        EXPECT_EQ(cell("SELECT state " + row), "running");
        EXPECT_EQ(cell("SELECT qemu_pid " + row), std::to_string(domain_.qemu_pid()));
        EXPECT_EQ(cell("SELECT count(*) FROM domain WHERE state <> 'destroyed'"), "1");
    }
}

TEST_F(AdoptTest, RowIsNotTakenBackUnderAnotherAdoptionThatIsDone)
{
    const string document = read_file(domain_.material().document);
    ScriptedPeer peer(store_.directory() / "silent", {});
    const OtherHandle other(store_.path());
    Told told;
    start_silent(document, store_.directory() / "silent", told);
    for (int again = 0; again < 2; ++again)
        EXPECT_EQ(xlstore_adopt(other, 9, document.c_str(), nullptr, nullptr, nullptr), XLSTORE_OK)
            << last_error();
    EXPECT_EQ(cell("SELECT count(*) FROM history WHERE operation = 'adopt'"), "1");
    peer.kill();
    ASSERT_TRUE(run_handles({handle_}, [&] { return told.calls > 0; }));
    EXPECT_NE(told.status, XLSTORE_OK);
    EXPECT_TRUE(contains(told.message, "its row stays")) << told.message;
    EXPECT_EQ(cell("SELECT state FROM domain"), "running");
}

// Each waits for a lock of the row that goes.
TEST_F(AdoptTest, AdoptionOfARowThatIsTakenBackMeanwhileBeginsAgain)
{
    const string document = read_file(domain_.material().document);
    ScriptedPeer peer(store_.directory() / "silent", {});
    const OtherHandle with_qemu(store_.path());
    const OtherHandle without(store_.path());
    const OtherHandle registers(store_.path());
    Told failed;
    Told told[2];
    Told registered;
    start_silent(document, store_.directory() / "silent", failed);
    start(with_qemu, 9, document, domain_.judge(), told[0]);
    {
        const auto store = store_.open();
        const auto fast = store->locks().try_acquire(LockKind::fast, 1);
        ASSERT_TRUE(fast && *fast);
        start(without, 9, document, "", told[1]);
    }
    ASSERT_EQ(xlstore_register_start(registers, "domid:9", domain_.judge().c_str(), 0, 0, nullptr,
                                     tell, &registered, nullptr),
              XLSTORE_OK)
        << last_error();
    EXPECT_EQ(xlstore_dispatch(registers), XLSTORE_OK);
    peer.kill();
    ASSERT_TRUE(run_handles({handle_}, [&] { return failed.calls > 0; }));
    EXPECT_NE(failed.status, XLSTORE_OK);
    EXPECT_EQ(cell("SELECT count(*) FROM domain"), "0") << failed.message;

    // A registration has no document to begin again with. The domain was not destroyed.
    ASSERT_TRUE(run_handles({registers}, [&] { return registered.calls > 0; }));
    EXPECT_EQ(registered.status, XLSTORE_E_NOT_FOUND) << registered.message;
    EXPECT_TRUE(contains(registered.message, "taken back")) << registered.message;
    ASSERT_TRUE(
        run_handles({with_qemu, without}, [&] { return told[0].calls + told[1].calls == 2; }));
    for (const auto& one : told)
        EXPECT_EQ(one.status, XLSTORE_OK) << one.message;
    EXPECT_EQ(cell("SELECT group_concat(state) FROM domain"), "running");
    EXPECT_EQ(cell("SELECT qemu_pid FROM domain"), std::to_string(domain_.qemu_pid()));
}

// R18: the domain runs on.
TEST_F(AdoptTest, DestructionOfARowThatIsTakenBackMeanwhileIsNone)
{
    const string document = read_file(domain_.material().document);
    ScriptedPeer peer(store_.directory() / "silent", {});
    const OtherHandle other(store_.path());
    Told failed;
    start_silent(document, store_.directory() / "silent", failed);
    Told destroyed;
    Told marked;
    Told forestalled;
    Told cancelled;
    {
        const auto store = store_.open();
        auto fast = store->locks().try_acquire(LockKind::fast, 1);
        ASSERT_TRUE(fast && *fast);
        peer.kill();
        ASSERT_TRUE(run_handles({handle_}, [&] {
            const auto held = store->locks().is_held(LockKind::destroy, 1);
            return held && *held;
        }));
        xlstore_op* op = nullptr;
        xlstore_destroy_start(other, "domid:9", nullptr, tell, &destroyed, nullptr);
        xlstore_mark_destroying_start(other, "domid:9", nullptr, tell, &marked, nullptr);
        xlstore_destroy_domid_start(other, 9, domain_.material().uuid.c_str(), nullptr, tell,
                                    &forestalled, nullptr);
        xlstore_destroy_start(other, "domid:9", nullptr, tell, &cancelled, &op);
        EXPECT_EQ(xlstore_dispatch(other), XLSTORE_OK);
        ASSERT_TRUE(op);
        (*fast)->release();
        ASSERT_TRUE(run_handles({handle_}, [&] { return failed.calls > 0; }));
        EXPECT_EQ(cell("SELECT count(*) FROM domain"), "0") << failed.message;
        xlstore_op_cancel(op);
    }
    ASSERT_TRUE(run_handles({other}, [&] {
        return destroyed.calls + marked.calls + forestalled.calls + cancelled.calls == 4;
    }));
    for (const auto* one : {&destroyed, &marked}) {
        EXPECT_EQ(one->status, XLSTORE_E_NOT_FOUND) << one->message;
        EXPECT_TRUE(contains(one->message, "its import was taken back")) << one->message;
    }
    EXPECT_EQ(forestalled.status, XLSTORE_OK) << forestalled.message;
    EXPECT_EQ(json_at(forestalled.json, "$.row"), "0");
    EXPECT_EQ(cell("SELECT domid FROM tombstone"), "9");
    EXPECT_EQ(cancelled.status, XLSTORE_E_CANCELLED) << cancelled.message;
}

// An earlier life of the domid is no answer for the domain that the command has found.
TEST_F(AdoptTest, DestroyCommandOfARowThatIsTakenBackMeanwhileFails)
{
    const string document = read_file(domain_.material().document);
    ASSERT_EQ(adopt(document, ""), XLSTORE_OK) << last_error();
    ASSERT_EQ(xlstore_destroy(handle_, "domid:9", nullptr, nullptr), XLSTORE_OK) << last_error();
    ScriptedPeer peer(store_.directory() / "silent", {});
    Told failed;
    start(handle_, 9, document, store_.directory() / "silent", failed);
    ASSERT_TRUE(run_handles({handle_}, [&] { return cell("SELECT count(*) FROM domain") == "2"; }));
    Stopping command(store_, {"destroy", "domid:9"}, "destroy.before_mark");
    ASSERT_TRUE(command.stopped());
    peer.kill();
    ASSERT_TRUE(run_handles({handle_}, [&] { return failed.calls > 0; }));
    EXPECT_EQ(cell("SELECT group_concat(state) FROM domain"), "destroyed") << failed.message;
    const Ran ran = command.finish();
    EXPECT_TRUE(ended(ran, 4));
    EXPECT_TRUE(contains(ran.out, "its import was taken back")) << ran.out;
}

// R18: the row that makes room is on its way out of life by this very call.
TEST_F(AdoptTest, ArchiveThatIsNotAtItsEndIsSaid)
{
    const string document = read_file(domain_.material().document);
    ASSERT_EQ(adopt(document, ""), XLSTORE_OK) << last_error();
    boot();
    const auto store = store_.open();
    const auto adopt_as_ten = [&](const xlstore_call* call) {
        return xlstore_adopt(handle_, 10, document.c_str(), nullptr, call, nullptr);
    };
    {
        const auto destroy = store->locks().try_acquire(LockKind::destroy, 1);
        ASSERT_TRUE(destroy && *destroy);
        xlstore_call call = XLSTORE_CALL_INIT;
        call.timeout_ms = 1;
        EXPECT_EQ(adopt_as_ten(&call), XLSTORE_E_TIMEOUT);
        EXPECT_TRUE(contains(last_error(), "destroy lock")) << last_error();
    }
    store->db().execute(
        "CREATE TRIGGER no_end BEFORE UPDATE OF state ON domain WHEN NEW.state = 'destroyed' BEGIN "
        "SELECT RAISE(ABORT, 'it is not to end'); END");
    EXPECT_EQ(adopt_as_ten(nullptr), XLSTORE_E_UNFINISHED);
    EXPECT_TRUE(contains(last_error(), "its destruction has begun")) << last_error();
    EXPECT_EQ(cell("SELECT group_concat(state) FROM domain"), "destroying");
    store->db().execute("DROP TRIGGER no_end");
    EXPECT_EQ(adopt_as_ten(nullptr), XLSTORE_OK) << last_error();
    EXPECT_EQ(cell("SELECT group_concat(state) FROM domain"), "destroyed,running");
}

TEST_F(AdoptTest, CancelledInItsSecondArchiveSaysBoth)
{
    const string document = read_file(domain_.material().document);
    ASSERT_EQ(adopt(document, ""), XLSTORE_OK) << last_error();
    ASSERT_EQ(xlstore_rename(handle_, "domid:9", "before", 0, nullptr, nullptr), XLSTORE_OK);
    ASSERT_EQ(xlstore_mark_destroying(handle_, "domid:9", nullptr, nullptr), XLSTORE_OK);
    ASSERT_EQ(
        xlstore_adopt(handle_, 8, with_another_uuid(document).c_str(), nullptr, nullptr, nullptr),
        XLSTORE_OK)
        << last_error();
    boot();
    const auto store = store_.open();
    const auto destroy = store->locks().try_acquire(LockKind::destroy, 1);
    ASSERT_TRUE(destroy && *destroy);
    Told told;
    xlstore_op* op = nullptr;
    start(handle_, 10, document, "", told, &op);
    ASSERT_TRUE(run_handles({handle_}, [&] {
        return cell("SELECT group_concat(state) FROM domain") == "destroying,destroyed";
    }));
    ASSERT_EQ(told.calls, 0);
    xlstore_op_cancel(op);
    ASSERT_TRUE(run_handles({handle_}, [&] { return told.calls > 0; }));
    EXPECT_EQ(told.status, XLSTORE_E_UNFINISHED);
    EXPECT_TRUE(contains(told.message, "domain 9 (before): its destruction has begun"))
        << told.message;
    EXPECT_TRUE(contains(told.message, "archived what is over: domain 8")) << told.message;
}

}  // namespace
}  // namespace xlstore::test
