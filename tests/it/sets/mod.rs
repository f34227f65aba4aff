//! Sets of objects as they are seen from outside: which of them a recording takes along, where
//! it finds them, and which ones it leaves.

mod bounds;
mod grown;
mod memory;
mod renditions;
mod scene;
mod shared;
