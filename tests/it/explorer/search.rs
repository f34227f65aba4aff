//! Searches all states breadth first, and shows how the first wrong one is reached.

use indexmap::IndexSet;

use super::world::World;
use super::{Planted, Scene};

/// The number of states after which a scene counts as endless.
const MOST: usize = 20_000_000;

struct Search {
    /// In the order in which they were reached.
    states: IndexSet<World>,
    /// The state and step by which each state was first reached.
    from: Vec<Option<(usize, &'static str)>>,
    /// All steps, as from and to.
    steps: Vec<(u32, u32)>,
}

/// The number of states, or how the first wrong one is reached.
pub(super) fn explore(scene: &Scene, planted: Planted) -> Result<usize, String> {
    let mut search = Search {
        states: IndexSet::new(),
        from: Vec::new(),
        steps: Vec::new(),
    };
    search.reach(World::begin(scene), None);
    let mut number = 0;
    while let Some(world) = search.states.get_index(number).cloned() {
        if let Some(lost) = world.lost() {
            return Err(search.story(number, &format!("{lost:?} is nowhere")));
        }
        if let Some(broken) = world.broken() {
            return Err(search.story(number, &format!("recording {broken} cannot be played")));
        }
        if world.is_at_rest()
            && let Some(untold) = world.untold()
        {
            return Err(search.story(number, &untold));
        }
        for (what, next) in world.nexts(scene, planted) {
            search.reach(next, Some((number, what)));
        }
        number += 1;
        assert!(
            search.states.len() < MOST,
            "{} has too many states",
            scene.name
        );
    }
    search.comes_to_rest()
}

impl Search {
    fn reach(&mut self, world: World, from: Option<(usize, &'static str)>) {
        let (number, is_new) = self.states.insert_full(world);
        if is_new {
            self.from.push(from);
        }
        if let Some((before, _)) = from {
            let numbered = |number| u32::try_from(number).expect("fewer than MOST states");
            self.steps.push((numbered(before), numbered(number)));
        }
    }

    /// Checks that every state can reach rest; returns the number of states.
    fn comes_to_rest(&mut self) -> Result<usize, String> {
        let steps = &mut self.steps;
        steps.sort_unstable_by_key(|(_, to)| *to);
        let mut rests: Vec<bool> = self.states.iter().map(World::is_at_rest).collect();
        let mut open: Vec<usize> = (0..rests.len()).filter(|number| rests[*number]).collect();
        while let Some(number) = open.pop() {
            let first = steps.partition_point(|(_, to)| (*to as usize) < number);
            let back = steps[first..]
                .iter()
                .take_while(|(_, to)| *to as usize == number);
            for before in back.map(|(before, _)| *before as usize) {
                if !rests[before] {
                    rests[before] = true;
                    open.push(before);
                }
            }
        }
        match rests.iter().position(|rests| !rests) {
            None => Ok(self.states.len()),
            Some(number) => Err(self.story(number, "no way leads to rest")),
        }
    }

    fn story(&self, end: usize, how: &str) -> String {
        let mut story = vec![how.to_owned()];
        let mut number = end;
        loop {
            story.push(self.states[number].short());
            let Some((before, what)) = self.from[number] else {
                break;
            };
            story.push(format!("-- {what}"));
            number = before;
        }
        story.reverse();
        story.join("\n")
    }
}
