//! Workers during stops, crashes, cancels and store outages.

mod away;
mod cancel;
mod clock;
mod crash;
mod drain;
mod ended;
mod lanes;
mod limits;
mod notice;
mod order;
mod overload;
mod second_try;
mod store_away;
mod sweep;
mod timeout;
