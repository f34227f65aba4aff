//! Target keys of moves that have ended recently, or of objects that they share since recently.
//!
//! A survey inspects its targets before its manifest holds them. If another move writes there in
//! between and ends, its object could pass for a copy of this move. No survey is older than this
//! process, so this is kept in memory.

use std::collections::{HashMap, VecDeque};

use crate::store::task_key::TaskKey;

/// Maximum number of keys: far more than end during one survey.
const MOST: usize = 1 << 16;

/// Keys, each with the task whose move ended there last.
#[derive(Debug, Default)]
pub(super) struct Settled {
    /// Number of keys added so far.
    count: u64,
    newest: HashMap<[u8; 16], (u64, TaskKey)>,
    order: VecDeque<[u8; 16]>,
}

impl Settled {
    /// Number of keys added so far. A survey that begins now knows them.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn add(&mut self, task: TaskKey, key: [u8; 16]) {
        self.count += 1;
        self.newest.insert(key, (self.count, task));
        self.order.push_back(key);
        if self.order.len() > MOST
            && let Some(oldest) = self.order.pop_front()
        {
            let number = self.count - MOST as u64;
            if self
                .newest
                .get(&oldest)
                .is_some_and(|(newest, _)| *newest <= number)
            {
                self.newest.remove(&oldest);
            }
        }
    }

    /// The task whose move to `key` has ended after the first `count` additions.
    pub(super) fn since(&self, count: u64, key: [u8; 16]) -> Option<TaskKey> {
        let (number, task) = *self.newest.get(&key)?;
        (number > count).then_some(task)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(number: i64) -> TaskKey {
        TaskKey::new(number, 0)
    }

    fn key(number: usize) -> [u8; 16] {
        let mut key = [0; 16];
        key[..8].copy_from_slice(&number.to_be_bytes());
        key
    }

    #[test]
    fn only_what_ended_since_is_found_and_the_oldest_is_forgotten() {
        let mut settled = Settled::default();
        settled.add(task(7), key(0));
        settled.add(task(8), key(1));
        assert_eq!(settled.since(0, key(0)), Some(task(7)));
        assert_eq!(settled.since(1, key(0)), None);
        assert_eq!(settled.since(1, key(1)), Some(task(8)));
        assert_eq!(settled.since(0, key(2)), None);
        settled.add(task(9), key(0));
        for number in 2..MOST {
            settled.add(task(1), key(number));
        }
        let known = settled.newest.len();
        assert_eq!(settled.since(0, key(0)), Some(task(9)), "it is there twice");
        settled.add(task(1), key(MOST));
        assert_eq!(settled.since(0, key(1)), None);
        assert_eq!((known, settled.newest.len()), (MOST, MOST));
    }
}
