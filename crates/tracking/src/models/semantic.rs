//! Semantic versions of models.

use std::fmt;

use mcplane_core::{Error, Result};
use semver::{BuildMetadata, Prerelease, Version};
use serde::{Serialize, Serializer};

/// The most that a part of a version may be: what surely fits the database and the eye.
const MOST: u64 = 999_999_999;
/// Longest pre-release part, in bytes: it is a part of object names.
const LONGEST_PRE: usize = 40;

/// A version such as `v1.2.0` or `v2.0.0-rc.1`.
///
/// The `v` may be left out when it is read. There is no build metadata: versions that differ in nothing else would be equal in rank.
/// Letters are small, because the version is a part of object names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SemanticVersion(Version);

impl SemanticVersion {
    /// What the first version of a model gets if it is given none.
    pub const FIRST: Self = Self(Version::new(1, 0, 0));

    /// Reads a version.
    ///
    /// # Errors
    /// [`Error::BadRequest`] for what is none.
    pub fn parse(text: &str) -> Result<Self> {
        let invalid = || {
            Error::bad_request(format!(
                "Invalid version '{}': it must be like v1.2.0 or v2.0.0-rc.1, in small letters and without build metadata.",
                text.chars().take(80).collect::<String>().escape_debug()
            ))
        };
        let version = Version::parse(text.strip_prefix('v').unwrap_or(text)).map_err(|_| invalid())?;
        let small = [version.major, version.minor, version.patch].iter().all(|part| *part <= MOST);
        let pre = version.pre.as_str();
        let plain =
            version.build.is_empty() && pre.len() <= LONGEST_PRE && !pre.bytes().any(|c| c.is_ascii_uppercase());
        // A name may not have a part that starts or ends with a hyphen.
        let nameable = pre.split('.').all(|part| !part.starts_with('-') && !part.ends_with('-'));
        if small && plain && nameable { Ok(Self(version)) } else { Err(invalid()) }
    }

    /// What the database holds.
    pub(super) fn from_parts(major: i64, minor: i64, patch: i64, pre: &str) -> Result<Self> {
        let number = |part: i64| u64::try_from(part).map_err(Error::internal);
        let pre = Prerelease::new(pre).map_err(Error::internal)?;
        let (major, minor, patch) = (number(major)?, number(minor)?, number(patch)?);
        Ok(Self(Version { major, minor, patch, pre, build: BuildMetadata::EMPTY }))
    }

    /// Major, minor and patch for the database.
    pub(super) fn numbers(&self) -> [i64; 3] {
        [self.0.major, self.0.minor, self.0.patch].map(u64::cast_signed)
    }

    /// The pre-release part, empty for a release.
    pub fn pre_release(&self) -> &str {
        self.0.pre.as_str()
    }

    /// The version that is given to whoever asks for none when this is the highest: the next minor release.
    #[must_use]
    pub fn next(&self) -> Self {
        if self.0.minor < MOST {
            return Self(Version::new(self.0.major, self.0.minor + 1, 0));
        }
        Self(Version::new(self.0.major + 1, 0, 0))
    }
}

impl fmt::Display for SemanticVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}", self.0)
    }
}

impl Serialize for SemanticVersion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn versions_are_read_and_shown() {
        for (text, shown) in [("v1.2.0", "v1.2.0"), ("0.0.1", "v0.0.1"), ("v2.0.0-rc.1", "v2.0.0-rc.1")] {
            assert_eq!(SemanticVersion::parse(text).unwrap().to_string(), shown);
        }
        for bad in [
            "",
            "v",
            "1",
            "1.2",
            "v1.2.3.4",
            "1.2.x",
            "01.2.3",
            "v1.2.3+b",
            "v1.2.3-RC",
            "1.0.0--",
            "1000000000.0.0",
            " 1.2.3",
        ] {
            assert!(SemanticVersion::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_next_is_a_minor_release() {
        let next = |text: &str| SemanticVersion::parse(text).unwrap().next().to_string();
        assert_eq!([next("v1.2.7"), next("v2.0.0-rc.1"), next("v1.999999999.0")], ["v1.3.0", "v2.1.0", "v2.0.0"]);
    }

    proptest! {
        #[test]
        fn the_database_keeps_a_version(text in r"v?[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}(-[a-z0-9.-]{1,8})?") {
            if let Ok(version) = SemanticVersion::parse(&text) {
                let [major, minor, patch] = version.numbers();
                let back = SemanticVersion::from_parts(major, minor, patch, version.pre_release()).unwrap();
                prop_assert!(version.next() > version);
                prop_assert_eq!(back, version);
            }
        }
    }
}
