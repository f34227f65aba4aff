//! Huawei Cloud SparkRTC.

mod body;
pub mod signature;

pub use self::body::{NotAnEvent, decode, parse};
