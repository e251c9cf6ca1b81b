//! An index that was loaded in bulk equals one that the writer made.

use proptest::prelude::*;

use super::model::{IndexModel, ModelHour, any_act, contents, options, stamp, stream};
use crate::archive::{HourTotals, Stamp};
use crate::index::bulk::{BulkLoader, LoadedHour};
use crate::index::{Batch, Index, IndexError};

/// Loads a model into a new index.
pub fn load(path: &std::path::Path, model: &IndexModel) {
    let mut loader = BulkLoader::create(path, &options()).unwrap();
    let mut names: Vec<&String> = model.hours.keys().map(|(name, _)| name).collect();
    names.dedup();
    for name in names {
        let hours =
            model.hours.range((name.clone(), crate::archive::Hour::MIN)..=(name.clone(), crate::archive::Hour::MAX));
        let as_loaded = hours.map(|((_, hour), files): (&ModelHour, _)| {
            let contents = contents(files);
            let (totals, line) = (HourTotals::of(&contents), crate::archive::coverage::HourLine::of(&contents));
            Ok::<_, IndexError>(LoadedHour { hour: *hour, contents, totals, line, stamp: Some(stamp(3)) })
        });
        loader.load_stream(&stream(name), as_loaded).unwrap();
    }
    assert_eq!(loader.rows(), model.hours.values().map(|files| files.len() as u64).sum::<u64>());
    loader.finish(&[("a".to_owned(), stamp(4))], model.archive).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn an_index_loaded_in_bulk_equals_one_that_was_written(acts in prop::collection::vec(any_act(), 0..30), more in prop::collection::vec(any_act(), 1..6)) {
        let mut model = IndexModel { archive: Some([7; 16]), ..IndexModel::default() };
        for act in &acts {
            model.act(act);
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("index.redb");
        load(&path, &model);
        let index = Index::open(&path, options()).unwrap();
        prop_assert_eq!(index.report(), &crate::index::OpenReport::default());
        model.assert_is(&index);
        prop_assert_eq!(index.archive().unwrap(), Some([7; 16]));
        prop_assert_eq!(index.directories().unwrap(), vec![("a".to_owned(), Some(Stamp { ino: 4, mtime_ns: -1, ctime_ns: 1 }))]);
        for (name, at) in model.hours.keys() {
            prop_assert_eq!(index.hour_row(name, *at).unwrap().unwrap().stamp, Some(stamp(3)));
        }
        // And it can be written to as if it had always been.
        let hours = more.iter().map(|act| model.act(act).0).collect();
        index.apply(Batch { hours, ..Batch::default() }).unwrap();
        model.assert_is(&index);
    }
}
