//! Goes through all states, breadth first, and says how the first wrong one came to be.

use std::collections::{HashMap, VecDeque};

use super::world::World;
use super::{Planted, Scene};

/// States after which a scene is taken for endless.
const MOST: usize = 20_000_000;

struct Search {
    states: Vec<World>,
    /// Where each state was first reached from, and by what.
    from: Vec<Option<(usize, &'static str)>>,
    /// Every way back.
    back: Vec<Vec<usize>>,
    known: HashMap<World, usize>,
    open: VecDeque<usize>,
}

/// How many states there are; how the first wrong one came to be, if there is one.
pub(super) fn explore(scene: &Scene, planted: Planted) -> Result<usize, String> {
    let mut search = Search {
        states: Vec::new(),
        from: Vec::new(),
        back: Vec::new(),
        known: HashMap::new(),
        open: VecDeque::new(),
    };
    search.reach(World::begin(scene), None);
    while let Some(number) = search.open.pop_front() {
        let world = search.states[number].clone();
        if let Some(lost) = world.lost() {
            return Err(search.story(number, &format!("{lost:?} is nowhere")));
        }
        if world.is_at_rest()
            && let Some(untold) = world.untold()
        {
            return Err(search.story(number, &untold));
        }
        for (what, next) in world.nexts(scene, planted) {
            search.reach(next, Some((number, what)));
        }
        assert!(search.states.len() < MOST, "{} does not end", scene.name);
    }
    search.comes_to_rest()
}

impl Search {
    fn reach(&mut self, world: World, from: Option<(usize, &'static str)>) {
        let came = from.as_ref().map(|(number, _)| *number);
        let number = if let Some(number) = self.known.get(&world) {
            *number
        } else {
            let number = self.states.len();
            self.known.insert(world.clone(), number);
            self.states.push(world);
            self.from.push(from);
            self.back.push(Vec::new());
            self.open.push_back(number);
            number
        };
        self.back[number].extend(came);
    }

    /// From every state some way leads to rest.
    fn comes_to_rest(&self) -> Result<usize, String> {
        let mut rests = vec![false; self.states.len()];
        let mut open: Vec<usize> = Vec::new();
        for (number, world) in self.states.iter().enumerate() {
            if world.is_at_rest() {
                rests[number] = true;
                open.push(number);
            }
        }
        while let Some(number) = open.pop() {
            for &before in &self.back[number] {
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
