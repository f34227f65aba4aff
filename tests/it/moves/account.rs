//! Checks every recording, every object and every task of a scene.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use aftertake::clock;
use aftertake::model::recording::Place;
use aftertake::store::lists::TaskRow;
use aftertake::store::operator::Operator;

use super::film::{Film, Objects, Whole, members};
use super::scene::Scene;
use crate::support::fake_obs::{Content, World};
use crate::support::operator::OneTask;
use crate::support::operator::why_waits;
use crate::support::recording::place;

/// Done tasks to list in a failure message.
const SHOWN: usize = 12;

impl Scene {
    pub(crate) fn objects(&self) -> Objects {
        match &self.folder {
            Some(folder) => read(folder.path()),
            None => self.obs.world(|world| objects_of(world)),
        }
    }

    /// From now on, checks after every change at OBS that each of these films is somewhere.
    pub(crate) fn guard(&self, films: &[Film]) {
        let (films, lost) = (films.to_vec(), Arc::clone(&self.lost));
        self.obs.after_every_mutation(move |world| {
            let objects = objects_of(world);
            let whole = Whole::of(&objects);
            for film in films.iter().filter(|film| !film.is_somewhere(&whole)) {
                let mut lost = lost.lock().unwrap();
                if !lost.contains(&film.to_string()) {
                    lost.push(film.to_string());
                }
            }
        });
    }

    /// The films that are whole nowhere, or were so at some moment since the last call.
    pub(crate) fn lost(&self, films: &[Film]) -> Vec<String> {
        let lost = std::mem::take(&mut *self.lost.lock().unwrap());
        let mut lost: Vec<_> = lost
            .iter()
            .map(|film| format!("{film} was whole nowhere"))
            .collect();
        let objects = self.objects();
        let whole = Whole::of(&objects);
        let nowhere = films.iter().filter(|film| !film.is_somewhere(&whole));
        lost.extend(nowhere.map(|film| format!("{film} is whole nowhere")));
        lost
    }

    pub(crate) fn assert_never_lost(&self, films: &[Film], at: &str) {
        let lost = self.lost(films);
        assert!(lost.is_empty(), "{at}: {lost:#?}\n{}", self.told());
    }

    /// What is wrong if each film must be whole at exactly one place, nothing else may exist except
    /// at `others`, and no upload may be open.
    pub(crate) fn faults(&self, films: &[Film], others: &[Place]) -> Vec<String> {
        let mut faults = self.lost(films);
        let objects = self.objects();
        let mut known: BTreeSet<Place> = others.iter().cloned().collect();
        for film in films {
            let found = film.places(&objects);
            if found.len() > 1 {
                faults.push(format!("{film} is at {found:?}"));
            }
            known.extend(found.iter().flat_map(|at| members(&objects, at)));
        }
        let left = objects.keys().filter(|one| !known.contains(one));
        faults.extend(left.map(|one| format!("{one} is left")));
        self.obs.world(|world| {
            let open = world
                .buckets
                .values()
                .flat_map(|bucket| bucket.uploads.values());
            faults.extend(open.map(|upload| format!("an upload to {} is open", upload.key)));
        });
        faults.extend(self.untold_marks());
        faults
    }

    /// Marks on copies that no task reports as left.
    fn untold_marks(&self) -> Vec<String> {
        let mut marks = self.obs.world(|world| marked(world));
        if !marks.is_empty() {
            let (operator, tasks) = (self.test_service.operator(), self.test_service.tasks());
            let told = tasks.iter().map(|task| {
                let task = operator.task(task.id).unwrap().unwrap();
                serde_json::Value::from(task.outputs).to_string()
            });
            let told: String = told.collect();
            marks.retain(|(at, _)| !told.contains(&at.to_string()));
        }
        let has = |(at, name): (Place, String)| format!("{at} has {name}");
        marks.into_iter().map(has).collect()
    }

    /// Asserts that there are no faults; returns where the films are.
    pub(crate) fn account(&self, films: &[Film], others: &[Place], at: &str) -> Vec<Place> {
        let faults = self.faults(films, others);
        assert!(faults.is_empty(), "{at}: {faults:#?}\n{}", self.told());
        let objects = self.objects();
        films
            .iter()
            .flat_map(|film| film.places(&objects))
            .collect()
    }

    pub(crate) fn task(&self, film: &Film) -> TaskRow {
        let is_its = |task: &TaskRow| task.room.as_deref() == Some(&*film.room);
        let mut tasks = self.test_service.tasks();
        tasks.retain(is_its);
        assert_eq!(tasks.len(), 1, "{film}");
        tasks.remove(0)
    }

    /// The output of `tasks show`.
    pub(crate) fn show(&self, task: &TaskRow) -> String {
        self.test_service
            .aftertake(&["tasks", "show", &task.id.to_string()])
    }

    /// Retries every dead task as a person does; returns their number.
    pub(crate) fn retry_dead(&self) -> usize {
        let mut tasks = self.test_service.tasks();
        tasks.retain(|task| task.state == "dead");
        for task in &tasks {
            self.test_service
                .operator()
                .retry_one(task.id, clock::now())
                .unwrap();
        }
        tasks.len()
    }

    /// State and reason of every task, for assertion messages.
    pub(crate) fn told(&self) -> String {
        told(&self.test_service.tasks())
    }
}

/// State and reason of every task that is not done, and of the first done ones.
pub(crate) fn told(tasks: &[TaskRow]) -> String {
    let line = |task: &TaskRow| {
        let (id, room, state) = (task.id, &task.room, task.state);
        let why = task.failure.as_ref().map(ToString::to_string);
        format!(
            "{id} {room:?} {state} {why:?} {:?} {:?}\n",
            why_waits(task),
            task.leaves
        )
    };
    let told = |(number, task): &(usize, &TaskRow)| *number < SHOWN || task.state != "done";
    let tasks = tasks.iter().enumerate().filter(told).take(2 * SHOWN);
    tasks.map(|(_, task)| line(task)).collect()
}

/// Objects with custom metadata; films have none.
fn marked(world: &World) -> Vec<(Place, String)> {
    let mut marks = Vec::new();
    for (bucket, inside) in &world.buckets {
        for (key, object) in &inside.objects {
            let names = object.headers.keys();
            let names = names.filter(|name| name.starts_with("x-obs-meta-"));
            marks.extend(names.map(|name| (place(bucket, key), name.clone())));
        }
    }
    marks
}

fn objects_of(world: &World) -> Objects {
    let mut objects = Objects::new();
    for (bucket, inside) in &world.buckets {
        for (key, object) in &inside.objects {
            // A file system lists folders as objects.
            if let (Content::Bytes(content), false) = (&object.content, key.ends_with('/')) {
                let (bucket, key) = (bucket.clone(), key.clone());
                objects.insert(Place { bucket, key }, content.clone());
            }
        }
    }
    objects
}

fn read(folder: &Path) -> Objects {
    let mut objects = Objects::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(&next).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
                continue;
            }
            let relative = path.strip_prefix(folder).unwrap().to_str().unwrap();
            let (bucket, key) = relative.split_once('/').unwrap();
            if !key.starts_with(".aftertake") {
                let (bucket, key) = (bucket.to_owned(), key.to_owned());
                objects.insert(Place { bucket, key }, std::fs::read(path).unwrap().into());
            }
        }
    }
    objects
}
