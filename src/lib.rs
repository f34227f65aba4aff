//! Aftertake: what happens after the take.
//!
//! A background service that receives cloud-recording callbacks (Huawei Cloud SparkRTC),
//! stores each one durably before it answers, and carries out the operator's YAML rules on
//! the finished recording: rename it, tag it by room, notify webhooks. The README is for
//! operators; this page is for developers.
//!
//! # The one-way flow
//!
//! ```text
//!  recorder ──POST──▶ http::callback ─▶ intake::Intake::take             this way, in one file:
//!                     recorder::{verify, parse} ─▶ model::Event          pure
//!                     rules::file::Revision::plan(&Event) ─▶ Plan        pure
//!                     workers.reserve(&Plan) ─▶ room
//!                     store.record(arrival, room.tasks()) ─▶ claims      one transaction, group commit
//!  ═══════════════ durable line: the 200 leaves only below this line ═══════════════
//!                     room.run(claims)                                   those that start at once
//!                     store.claim(room, now) ─▶ Claim                    by value
//!                     rules::render(step, context) ─▶ Rendered           pure
//!                     action::run(Rendered, &mut dyn Progress) ─▶ Done | Stopped
//!                     store.journal(&Claim, …)                           fenced; a retry resumes here
//!                     model::transition::settle(…) ─▶ Transition         pure
//!                     store.apply(Claim, Settlement)                     fenced; consumes the claim
//! ```
//!
//! People use the command line: `cli` reads flags, calls one function of `operate`, and prints its
//! answer. `operate` has its own connection to the store, `store::operator::Operator`, so commands work
//! while the service runs.
//!
//! # Code map
//!
//! The table in `tests/it/layering.rs` says which parts each part may use.
//!
//! - `model`: events, recordings, tasks, failures, breakers, and the decisions about them. No I/O, no clock, no chance.
//! - `clock`: wall time, elapsed time and chance. Nothing else reads them.
//! - `supervision`: ends the process when an essential part of it ends.
//! - `yaml`: reads YAML and keeps the line of each value. Knows no rules.
//! - `chat`: one file for each chat service: message format, limit, signature, answers. Sends nothing.
//! - `recorder`: one folder for each recorder: its bodies, signature and answer. Knows no rules and no store.
//! - `rules`: loads the rules file, plans an event, fills in templates. Pure; does not run a step.
//! - `store`: the durable queue, as traits, and SQLite. Knows no rules and runs no step.
//! - `telemetry`: log lines and metrics. Knows neither store nor HTTP.
//! - `config`: the settings of the process. Knows no command line and no rules file.
//! - `object`: object storage behind one trait: OBS, and a folder. Knows no tasks.
//! - `outbound`: the guarded HTTP client for destinations. Knows no recordings.
//! - `action`: carries out one rendered step. Never sees the queue.
//! - `in_force`: the snapshot of the rules file in force, replaced as a whole. Runs nothing.
//! - `worker`: claims due tasks, runs their steps, settles them. Knows no HTTP listener.
//! - `intake`: verifies, parses, plans, stores and starts a callback. Knows no status code.
//! - `http`: the two listeners: paths, status codes, limits. Does not know what a callback means.
//! - `app`: starts the parts in order, reloads, stops. Decides nothing about a recording.
//! - `operate`: one function for each command of a person. Knows no flag, terminal or exit code.
//! - `cli`: reads flags, calls one function of `operate`, prints its answer.
//!
//! # Glossary
//!
//! - **callback**: the HTTP request that a recorder sends. **Event**: a callback that was parsed and stored.
//! - **recording**: what was recorded: one object, or a **set** (a playlist and what it names). Its **place** is the
//!   bucket and key where it is now.
//! - **origin**: the recorder's job and when the recording began. It tells apart the recordings under one key.
//! - **rule**: a condition and steps. **Plan**: the tasks of one event. **Revision**: one content of the rules file.
//! - **task**: one event under one rule, the unit of the queue. **Step**: one action of it. **Attempt**: one try of a step.
//! - **claim**: a worker's hold on a task. Only the newest one can write.
//! - **lane**: the tasks whose next step needs the same bucket or destination. It has a width, a rate and a **breaker**,
//!   which holds the lane while that does not answer. **Permit**: room for one step in a lane.
//! - **turn**: the right to move or tag a recording, one task at a time. **Order**: one task at a time for one value of
//!   `order_by`.
//! - **manifest**: the moves of a rename, stored before the first copy. Its **outline** is their number and phase.
//! - **commit** of a rename: from here on the recording is at its target. A move can be undone only before it.
//! - **mark**: the metadata `aftertake-move`, which identifies our copies until the commit.
//! - **dead**: out of tries or failed for good; a person has to act. **Cancelled**: given up by a person.
//! - **sweep**: removes history that is older than `--retention`.
//!
//! # Invariants
//!
//! 1. A callback gets its 200 only after its event and tasks are committed and synced.
//! 2. The same recording announced twice is one event; the duplicate changes nothing.
//! 3. An event is stored even if no rule matches. Its body and rules are stored, so the reasons can be
//!    computed.
//! 4. A task keeps the rules that were in force when its event arrived. Buckets and destinations
//!    are looked up in the file in force; if a name is gone or a rule cannot be read, the task
//!    waits without spending tries.
//! 5. Effects are at-least-once, and every step is safe to repeat: it looks before it acts.
//! 6. Only the newest claim may write: every write carries the attempt, which only grows.
//! 7. A try is spent when a task is claimed, not when it fails, so a step that kills the
//!    process still runs out of tries.
//! 8. No transaction and no lock spans network I/O.
//! 9. A recording is whole in at least one place at every instant. "All copies verified,
//!    place = target" is committed before the first deletion. After that nothing is undone, and a
//!    source is deleted only if the same run has seen its copy. A key that a move reads or writes
//!    is no other move's target until the move is settled and none of its requests can still arrive.
//! 10. Nothing outside the configured buckets and destinations is ever touched.
//! 11. Secrets never reach a log, a metric, an error text or the store.
//! 12. Logs and metrics never stop or delay the work. The end of a listener, a loop or the store's
//!     writer ends the process.
//!
//! # Decisions
//!
//! **Why SQLite with one writer thread?** Operators can query the queue and the history. One thread
//! that commits all waiting writes together reached five times the rate of one transaction per request.
//!
//! **Why are ids derived, and why do they begin with a time?** Recorders send no event id, and a
//! callback that is sent again may differ in its bytes. Random keys halve SQLite's insert rate at a
//! million rows. A task's id begins like its event's, so no index from event to tasks is needed.
//!
//! **Why does the store not keep why a rule did not match?** With two hundred rules that was 14 kB
//! per callback, and it is rarely read. It can be computed from the event and its rules.
//!
//! **Why does `record` return claims?** Most tasks can start at once. Storing them as running
//! together with their event saves a commit. The others wait in the store.
//!
//! **Why does a crash of a part end the process?** A listener that has crashed receives nothing
//! while the process looks alive, and a lost claim would wait for the next start anyway. A start
//! takes less than a second and is the best tested path.
//!
//! **Why is the log not written by `tracing-appender`?** Its queue is limited in lines, not in
//! bytes; it does not count lines that it fails to write; and when its queue is full at exit it
//! prints to standard output, which may block too.
//!
//! **Why do claims have no lease time?** One process serves a store and holds a file lock on it.
//! When it starts, all running tasks become due; its own claims never expire.
//!
//! **Why does a task store its wait in addition to its due time?** The clock that wrote the due time
//! may have been wrong. With both, no task waits longer than was decided, even if the clock was set
//! meanwhile or no process ran. A process measures its waits by the monotonic clock.
//!
//! **Why does retention not trust the clock?** One start with a clock that is years ahead would
//! delete everything. The certain time (`model::certain`) grows while a process runs, and is set by
//! recordings whose end agrees with the clock. A service that was off for weeks and receives none
//! deletes that much later.
//!
//! **Why is a watched file read every second?** Editors replace files, Kubernetes replaces a link
//! in the path, and network file systems report no changes. Only the content counts, and two equal
//! reads show that nobody is writing it.
//!
//! **Why is a lane's state stored before the task that changed it?** If the process dies in
//! between, the lane is paused and the task is tried again later. In the other order, the next task
//! would have to fail first.
//!
//! **Why is the notice of a dead task a task?** It must survive a restart, wait for its
//! destination, and be listed, as tasks do. It is stored in the transaction that makes the task
//! dead.
//!
//! **Why does a retrying task release its turn?** Rules are independent: a tag must not wait
//! because another rule's rename fails. Only unfinished moves keep the turn.
//!
//! **Why are HLS sets copied even where a bucket can rename?** A parallel file system renames one
//! object at a time. Until the last one has moved, the recording would be whole nowhere.
//!
//! **Why is a source checked again before it is deleted?** The recorder may have written it again
//! during the copy. The check costs one request per object, or per page of a set.
//!
//! **Why does a retrying task keep its order?** `order_by` promises it: a later event of a room
//! must not be announced first. A task waits for its order before it takes the turn, so no holder
//! of a turn waits for an order and there is no deadlock (proof: `store::sqlite::order`).
//!
//! **Why is the backlog of callbacks limited before the store?** With a slow disk an unlimited
//! queue grows in memory until senders time out. With a limit, a worker's write is in one of the
//! next commits, and no priorities are needed.
//!
//! **Why does a task not start over when it is retried under other rules?** Its earlier steps are
//! done, and the recording may have moved. It continues at the step with the same id. With a
//! half-done rename the retry is refused: only the rules that began it know where its copies are.
//!
//! **Why does a replay of everything skip unfinished tasks?** It would do their work twice. This way
//! the command can be repeated after an interruption or by mistake.

pub mod action;
pub mod app;
pub mod chat;
pub mod cli;
pub mod clock;
pub mod config;
pub mod http;
pub mod in_force;
pub mod intake;
pub mod model;
pub mod object;
pub mod operate;
pub mod outbound;
pub mod recorder;
pub mod rules;
pub mod store;
pub mod supervision;
pub mod telemetry;
pub mod worker;
pub mod yaml;
