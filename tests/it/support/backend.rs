//! The kinds of stores that the store contract is tested on: SQLite.

use aftertake::store::Store;
use aftertake::store::operator::Operator;
use aftertake::store::sqlite::{SqliteOperator, SqliteStore};
use tempfile::TempDir;

use super::database::Database;
use super::folder_in_memory;

/// An empty store. The service's half and the person's half see each other's writes.
pub(crate) trait Backend: Default {
    type Store: Store + 'static;
    type Operator: Operator;

    /// Opens the service's half, as a process does at its start. The previous one must be closed.
    fn open(&self) -> Self::Store;

    /// The person's half, next to the service.
    fn operator(&self) -> Self::Operator;
}

pub(crate) struct Sqlite {
    database: Database,
    _folder: TempDir,
}

impl Default for Sqlite {
    fn default() -> Self {
        let folder = folder_in_memory();
        Self {
            database: Database::at(folder.path().join("a.db")),
            _folder: folder,
        }
    }
}

impl Backend for Sqlite {
    type Store = SqliteStore;
    type Operator = SqliteOperator;

    fn open(&self) -> SqliteStore {
        self.database.open()
    }

    fn operator(&self) -> SqliteOperator {
        self.database.operator()
    }
}

/// Tests functions over a [`Backend`] on every kind of store.
macro_rules! shown_on_every_store {
    ($($promise:ident)*) => {
        $crate::support::backend::shown_on_every_store! { sqlite = Sqlite: $($promise)* }
    };
    ($name:ident = $kind:ident: $($promise:ident)*) => {
        mod $name {
            use $crate::support::backend::$kind;

            $(
                #[tokio::test]
                async fn $promise() {
                    super::$promise($kind::default()).await;
                }
            )*
        }
    };
}

pub(crate) use shown_on_every_store;
