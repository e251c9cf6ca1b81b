//! Which directory it is, however it is reached: what is written into one and copied elsewhere can be told from what was written there.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Device and inode of a directory, as text; nothing if it cannot be looked at.
pub fn directory_id(path: &Path) -> Option<String> {
    let meta = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_dir)?;
    Some(format!("{}:{}", meta.dev(), meta.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_of_a_directory_is_another_one_and_a_link_to_it_is_not() {
        let tree = tempfile::tempdir().unwrap();
        let (one, copy, link) = (tree.path().join("one"), tree.path().join("copy"), tree.path().join("link"));
        std::fs::create_dir(&one).unwrap();
        std::fs::create_dir(&copy).unwrap();
        std::os::unix::fs::symlink(&one, &link).unwrap();
        assert!(directory_id(&one).is_some() && directory_id(&one) == directory_id(&link));
        assert!(directory_id(&one) != directory_id(&copy));
        assert_eq!(directory_id(&tree.path().join("none")), None);
    }
}
