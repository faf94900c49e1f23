// SPDX-License-Identifier: MIT
// The transfer that bring_over() is: what was read so far, and how it is put into the new database.
// Its methods stand in five files, by what they bring over. Private to them.
#ifndef XLSTORE_RECOVERY_SALVAGE_TRANSFER_HPP_
#define XLSTORE_RECOVERY_SALVAGE_TRANSFER_HPP_

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "recovery/salvage/damaged_database.hpp"
#include "recovery/salvage/loss.hpp"
#include "store/database/db.hpp"
#include "store/model/plan.hpp"

namespace xlstore::recovery {

// R17. More ids and epochs than can have been given in commits that are lost: the log is started
// anew long before it holds as many.
inline constexpr std::int64_t kIdsAhead = 100'000;
inline constexpr std::int64_t kEpochsAhead = 1'000'000;

// R1 R5. Neither taken for present, since it may have been removed, nor omitted.
inline constexpr const char* kDoubtful =
    "it was read where nothing proves that it had not been removed before; ";

/// An index that has of each row of its table, or of those that `rows` says, these columns, and the
/// row's number.
struct NamingIndex {
    const char* name = nullptr;  ///< null: there is none
    const char* columns = "";
    const char* order = "";
    const char* rows = "";
};

/// A column of another table that has the number of a row.
struct NamingColumn {
    const char* table;
    const char* column;
    const char* order;
};

/// What tells of a row's number, besides the row itself.
struct NumberWitnesses {
    NamingIndex index;
    NamingIndex second = {};
    std::vector<NamingColumn> columns = {};
};

class Transfer {
public:
    Transfer(DamagedDatabase& from, Db& into, std::int64_t ids_from)
        : from_(from), into_(into), ids_from_(ids_from)
    {}

    std::vector<Loss> run();

private:
    using Rows = std::map<std::int64_t, Row>;
    using Key = std::pair<std::int64_t, std::string>;

    // What all of it needs; the rows that belong to no domain (saved_rows.cc).
    void lost(const std::string& what, const std::string& why);
    void rebuilt(const std::string& what, const std::string& why);
    void not_all(const std::string& what, bool any);
    [[nodiscard]] std::int64_t highest(const std::string& table) const;
    [[nodiscard]] std::set<std::string> boots_known() const;
    [[nodiscard]] bool is_doubtful(const std::string& table, std::int64_t id) const;
    void note_id(const std::string& table, std::int64_t id);
    void read_sequences();
    Statement inserting(const std::string& table, const Row& row);
    bool put(const std::string& table, const Row& row, const std::string& what);
    void quarantine_row(const std::string& table, const Row& row, const std::string& what,
                        const std::string& why);
    [[nodiscard]] std::string name_of(std::int64_t domain) const;
    [[nodiscard]] std::string name_of(const Row& thing) const;
    void mend_store_row(Row& row);
    void store_row();
    void tell_mended(const std::string& what, const Row& row,
                     const std::vector<std::string>& mended);
    bool has_column(const char* table, const char* column);
    void loose_rows(const std::string& table);
    void retired_documents();
    void undo_rows();
    void sequences();

    // Rows that have a number, and which one (saved_numbers.cc).
    using Named = std::set<Key>;  // a row's number, and the columns that an index has of it
    void read_numbered();
    void read(Rows& rows, const std::string& table, const NumberWitnesses& witnesses = {});
    Named named_by(const std::string& table, const NamingIndex& index);
    std::set<std::int64_t> named_in(const std::vector<NamingColumn>& columns);
    void mend_numbers(Rows& rows, std::vector<Row>& unconfirmed, const std::string& table,
                      const Named& named, const Named& second, const NumberWitnesses& witnesses);

    // Sessions and domains (saved_domains.cc).
    [[nodiscard]] bool is_over(std::int64_t domain) const;
    [[nodiscard]] std::int64_t generation_above() const;
    std::map<std::int64_t, std::int64_t> domids_told();
    void mend_domains();
    void rebuild_domains();
    void domains();
    void put_domains(bool doubtful);
    std::optional<std::string> c_info_of(std::int64_t domain);
    std::string name_in_document(std::int64_t domain, const std::string& otherwise);
    [[nodiscard]] std::int64_t session_given(std::int64_t id) const;
    bool need_session(Row& owned, const char* by);
    void settle_states();
    static bool is_closed(const Row& row);
    void close_again(std::int64_t id, const Row& row);

    // The members of documents (saved_members.cc).
    void read_member_keys();
    bool mend_key(Row& row) const;
    bool mend_member_domains(std::vector<Row>& rows);
    bool read_members(std::map<Key, Row>& found);
    void members();
    void note_lost_member(std::int64_t domain, const std::string& key);
    bool take_scanned_members(std::map<Key, Row>& found);

    // Things, what they are made of, intents (saved_things.cc).
    [[nodiscard]] std::string what_of_intent(const Row& row) const;
    std::map<std::int64_t, const Row*> mend_intents();
    std::map<std::int64_t, std::set<std::int64_t>> domains_in_order();
    [[nodiscard]] std::optional<std::int64_t> domain_of_parts(std::int64_t thing,
                                                              const Row* intent) const;
    [[nodiscard]] bool is_there(std::int64_t domain) const;
    void mend_things();
    std::set<Key> changed_drives();
    void rebuild_things();
    void things();
    [[nodiscard]] bool is_first_of_name(const Row& row) const;
    void read_products();
    [[nodiscard]] std::vector<Product> products_of(std::int64_t thing) const;
    void products();
    [[nodiscard]] std::string what_of_product(const Row& row) const;
    void initial_devices();
    void intents();

    DamagedDatabase& from_;
    Db& into_;
    std::int64_t ids_from_;
    std::int64_t commits_ = 0;
    std::set<std::string> damaged_;
    std::map<std::string, std::set<std::int64_t>> doubtful_;
    std::map<std::string, std::int64_t> ids_;
    std::map<std::string, std::int64_t> sequences_;
    std::map<std::string, std::string> inserts_;
    std::map<std::pair<std::int64_t, std::int64_t>, std::string> member_keys_;  // of an index
    std::set<Key> members_named_;                                               // by it
    std::set<std::map<std::string, Value>> moved_members_;                      // as they were read
    Rows sessions_, domains_, intents_, things_;
    std::vector<Row> products_;
    std::map<std::int64_t, std::vector<Product>> products_by_thing_;
    std::set<std::int64_t> rebuilt_domains_, kept_, kept_things_;
    std::map<std::int64_t, bool> needed_;  // sessions; is its row there?
    std::vector<Loss> losses_;
};

}  // namespace xlstore::recovery

#endif  // XLSTORE_RECOVERY_SALVAGE_TRANSFER_HPP_
