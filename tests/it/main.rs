//! The integration crate: everything through public interfaces.
