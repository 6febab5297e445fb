//! Random trees with names that lead elsewhere, the same each time; a fuzz target goes further.

#[path = "fake/exercise.rs"]
mod exercise;
mod fake;

use hexz_testkit::Rng;

#[test]
fn random_trees_stay_within_their_folder_and_give_archives_that_are_read() {
    for seed in 0..300 {
        let mut random = Rng::new(seed);
        let length = random.index(1200);
        let data: Vec<u8> = (0..length).map(|_| random.index(256) as u8).collect();
        exercise::exercise(&data);
    }
}
