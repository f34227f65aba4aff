//! Which objects belong to a recording's set, where the service finds them, and which it leaves.

mod bounds;
mod grown;
mod memory;
mod renditions;
mod scene;
mod shared;
