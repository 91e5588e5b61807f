//! Tables: what a house consists of, wherever it lives.
//!
//! Comes in   nothing.
//! Goes out   tables and columns, for a house on its way from one database to the other.
//! Never      names a column that only one of the databases has, nor one whose value ends with the
//!            processes that wrote it: leases do.

/// A table of a house, but for the house's own row. Both databases lead each row by the house.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Table {
    /// Its name.
    pub(crate) name: &'static str,
    /// Its columns.
    pub(crate) columns: &'static [&'static str],
    /// The order its rows go in: that of its key, so that they are written one behind the other.
    pub(crate) order: &'static str,
}

/// The columns of a house's own row.
pub(crate) const HOUSE: [&str; 5] = ["blob_key", "lines", "keys_edition", "keys_next", "keys_done"];

/// When a lane's next row can be claimed, once all leases are dropped.
pub(crate) const READY: &str =
    "(SELECT w.due FROM works w WHERE w.house = t.house AND w.work = t.next)";

/// All tables, in the order in which one names another.
pub(crate) const TABLES: [Table; 15] = [
    Table {
        name: "entries",
        columns: &["seq", "at", "chain", "body", "prev", "hash"],
        order: "seq",
    },
    Table {
        name: "checkpoints",
        columns: &["number", "seq", "at", "root", "prev", "key_id", "signature"],
        order: "number",
    },
    Table {
        name: "works",
        columns: &[
            "work", "id", "kind", "lane", "partner", "dossier", "cause", "label", "gathered",
            "number", "state", "due", "revision", "created", "changed", "fence", "purged", "body",
        ],
        order: "work",
    },
    Table { name: "lanes", columns: &["lane", "number", "next", "ready"], order: "lane" },
    Table { name: "subjects", columns: &["subject", "id"], order: "id" },
    Table {
        name: "records",
        columns: &[
            "record",
            "kind",
            "id",
            "newest",
            "deleted",
            "updated",
            "owner",
            "patient",
            "encounter",
            "date_from",
            "date_to",
            "status",
        ],
        order: "record",
    },
    Table { name: "tokens", columns: &["kind", "token", "record"], order: "kind, token, record" },
    Table {
        name: "versions",
        columns: &[
            "record",
            "version",
            "updated",
            "owner",
            "receipt",
            "lane",
            "number",
            "digest",
            "deleted",
            "purged",
            "withdrawn",
            "packed",
            "file",
            "content",
        ],
        order: "record, version",
    },
    Table {
        name: "bringers",
        columns: &["record", "version", "receipt", "number", "nth"],
        order: "record, version, receipt",
    },
    Table { name: "blobs", columns: &["digest", "packed", "file", "content"], order: "digest" },
    Table { name: "blob_uses", columns: &["work", "digest"], order: "work, digest" },
    Table {
        name: "first_answers",
        columns: &[
            "sender", "key", "digest", "status", "headers", "body", "purged", "packed", "file",
            "content",
        ],
        order: "sender",
    },
    Table { name: "uses", columns: &["mark", "until"], order: "mark" },
    Table {
        name: "doors",
        columns: &["partner", "free_at", "failures", "resting", "rest"],
        order: "partner",
    },
    Table {
        name: "holdings",
        columns: &["partner", "kind", "id", "at", "digest", "as_of"],
        order: "partner, kind, id",
    },
];
