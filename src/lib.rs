//! Aftertake: what happens after the take.
//!
//! A background service that receives cloud-recording callbacks (Huawei Cloud SparkRTC),
//! stores each one durably before it answers, and carries out the operator's YAML rules on
//! the finished recording: rename it, tag it by room, notify webhooks. The README is for
//! operators; this page is for whoever changes the code.
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
//! People come in by the other door: `cli` reads flags, calls one function of `operate`, and prints
//! its answer. `operate` uses the store's other half, `store::operator::Operator`, beside the service.
//!
//! # Code map
//!
//! What each part may name is the table in `tests/it/layering.rs`.
//!
//! - `model`: events, recordings, tasks, failures, breakers, and the decisions about them. No I/O, no clock, no chance.
//! - `clock`: wall time, elapsed time and chance. Nothing else reads them.
//! - `supervision`: ends the process when a part of it ends that must not.
//! - `yaml`: YAML in which each value knows its line. Knows no rules.
//! - `chat`: one file for each chat service: frame, limit, signature, answers. Sends nothing.
//! - `recorder`: one folder for each recorder: its bodies, signature and answer. Knows no rules and no store.
//! - `rules`: loads the rules file, plans an event, fills in templates. Pure; does not run a step.
//! - `store`: the durable queue, as traits, and SQLite. Knows no rules and runs no step.
//! - `telemetry`: log lines and metrics. Knows neither store nor HTTP.
//! - `config`: the settings of the process. Knows no command line and no rules file.
//! - `object`: object storage behind one trait: OBS, and a folder. Knows no tasks.
//! - `outbound`: the guarded HTTP client for destinations. Knows no recordings.
//! - `action`: carries out one rendered step. Never sees the queue.
//! - `in_force`: what the rules file puts in force, replaced as one. Runs nothing.
//! - `worker`: claims due tasks, runs their steps, settles them. Knows no HTTP listener.
//! - `intake`: verify, parse, plan, room, store, start. Knows no status code.
//! - `http`: the two listeners: paths, status codes, limits. Does not know what a callback means.
//! - `app`: starts the parts in order, reloads, stops. Decides nothing about a recording.
//! - `operate`: what a person can ask and do, one function each. Knows no flag, terminal or exit code.
//! - `cli`: flags in, one call of `operate`, its answer printed.
//!
//! # Glossary
//!
//! - **callback**: the HTTP request that a recorder sends. **Event**: a callback that was parsed and stored.
//! - **recording**: what was recorded: one object, or a **set** (a playlist and what it names). Its **place** is the
//!   bucket and key where it is now.
//! - **rule**: a condition and steps. **Plan**: the tasks of one event. **Revision**: one content of the rules file.
//! - **task**: one event under one rule, the unit of the queue. **Step**: one action of it. **Attempt**: one try of a step.
//! - **claim**: a worker's hold on a task. Only the newest one can write.
//! - **lane**: the tasks whose next step needs the same bucket or destination. It has a width, a rate and a **breaker**,
//!   which holds the lane while that does not answer. **Permit**: room for one step in a lane.
//! - **turn**: the right to move or tag a recording, one task at a time. **Order**: one task at a time for one value of
//!   `order_by`.
//! - **manifest**: the moves of a rename, stored before the first copy. Its **outline** is their number and the phase.
//! - **commit**: from here on the recording is at its target. Before it a move can be undone, after it only finished.
//! - **mark**: the metadata `aftertake-move` by which a copy is known as ours until the commit.
//! - **dead**: out of tries, or refused for good; waits for a person. **Cancelled**: given up by a person.
//! - **sweep**: removes history that is older than `--retention`.
//!
//! # Invariants
//!
//! 1. A callback gets its 200 only after its event and tasks are committed and synced.
//! 2. The same recording announced twice is one event; the duplicate changes nothing.
//! 3. An event is stored also when no rule matches; the reasons follow from its body and the rules
//!    that it was planned under, both of which are stored.
//! 4. Rules in force when an event arrived stay in force for its tasks. Buckets and
//!    destinations are looked up in the file in force; a name that is gone, or a rule that
//!    cannot be read, makes the task wait for it, without spending tries.
//! 5. Effects are at-least-once, and every step is safe to repeat: it looks before it acts.
//! 6. Only the newest claim may write: every write carries the attempt, which only grows.
//! 7. A try is spent when a task is claimed, not when it fails, so a step that kills the
//!    process still runs out of tries.
//! 8. No transaction and no lock spans network I/O.
//! 9. A recording is whole in at least one place at every instant. "All copies verified,
//!    place = target" is committed before the first deletion.
//!    From then on nothing undoes, and no source is deleted whose copy was not seen in the
//!    same run. A key that a move reads or writes is no other move's target until the move is
//!    settled and none of its requests can still arrive.
//! 10. Nothing outside the configured buckets and destinations is ever touched.
//! 11. Secrets never reach a log, a metric, an error text or the store.
//! 14. Nothing that only tells, such as the log and the metrics, can stop or delay the work.
//!     Whatever ends a listener, a loop or the store's writer ends the process.
//!
//! # Decisions
//!
//! **Why SQLite with one writer thread?** The queue and the history are rows that an operator
//! can query. One thread that commits everything waiting was measured at five times the rate
//! of a transaction for each request.
//!
//! **Why are ids derived, and why do they begin with a time?** Recorders give no event id, and
//! a resent callback is not always the same bytes. A random unique key halves SQLite's insert
//! rate at a million rows. A task's id begins as its event's does, and is found through it: no index
//! is written for that.
//!
//! **Why is it not stored why a rule did not match?** With two hundred rules that was fourteen
//! kilobytes for each callback, written for the few that somebody asks about.
//!
//! **Why does `record` return claims?** The usual task can start at once: writing it as running
//! in the transaction that stores its event saves a commit. What cannot start stays in the store.
//!
//! **Why does a crash beside a step end the process?** A claim that its worker has lost would wait
//! for the next start anyway, and a listener that has ended takes no callbacks while the process
//! looks alive. A start takes less than a second and is the most tested path there is.
//!
//! **Why is the log not written by `tracing-appender`?** Its queue is bounded in lines and not in
//! bytes, it does not count lines that could not be written, and when its queue is full at the end
//! it prints to standard output, which nobody may be reading either.
//!
//! **Why are there no leases with a time?** A store is served by one process, held by a file
//! lock. What was running when a process starts is due at once; what it runs never expires.
//!
//! **Why does a task keep how long it waits beside when it is due?** A due time alone is as wrong
//! as the clock that wrote it. With both, nobody waits for longer than was decided, whatever the
//! clock did meanwhile, also while no process ran. What a process measures itself it measures
//! by a clock that nobody sets.
//!
//! **Why is history not forgotten by the clock alone?** One start by a clock that is years ahead
//! would forget everything. The time that has come for certain grows as a process runs, and is
//! set by recordings whose end agrees with the clock. A service that was off for weeks, and hears
//! of none, forgets so much later.
//!
//! **Why is a watched file read every second?** Editors replace it and Kubernetes swaps a link
//! on the way to it; network file systems tell no changes. Its content is all that counts, and
//! two equal looks in a row tell one that is written from one that is being written.
//!
//! **Why is a lane's state stored before the task that changed it?** A process that dies in
//! between finds the lane paused and the task still to be tried; the other way round, the next
//! task would find out again what was known.
//!
//! **Why is the notice of a dead task a task?** It has to survive whatever a task survives, wait
//! for its destination and be seen. It is stored in the transaction that buries.
//!
//! **Why does a retrying task give up its turn?** Rules are independent: a tag must not wait
//! because another rule's rename is refused. Only unfinished moves hold the turn.
//!
//! **Why are HLS sets copied even where a bucket can rename?** A parallel file system renames
//! one object at a time. The recording would be whole nowhere until the last one has moved.
//!
//! **Why is a source looked at once more before it is deleted?** A recorder may have written it
//! again while it was copied. The look costs one request for each object, or page of a set.
//!
//! **Why does it keep its order?** That is what `order_by` asks for: whoever comes later in a
//! room must not be told of first. The order is waited for before the turn, so nobody who
//! holds a turn waits for an order; `store::sqlite` has the argument, a test the histories.
//!
//! **Why is the backlog of callbacks bounded before the store?** A queue that grows while the disk is slow
//! only moves the wait into memory, and past the sender's patience. With a bound on callbacks
//! a worker's write is in one of the next commits, without priorities.
//!
//! **Why does a task that is retried under other rules not begin anew?** What it did is done, and
//! the recording may have moved. It goes on at the step with the same id; a rename that is half
//! done is refused, as only the rules that began it know where its copies are.
//!
//! **Why does a replay of everything leave out what still waits?** It would do the same work
//! twice. So the command may be repeated, after it was interrupted or by mistake.

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
