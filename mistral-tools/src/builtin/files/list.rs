//! The tool that lists a directory, page by page.
//!
//! A page holds the smallest names after a cursor. A directory of any size therefore costs the memory of one page and one pass over its
//! names.

use std::collections::BTreeMap;

use cap_std::fs::{Dir, DirEntry, FileType};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Directories, FileError, check, failed};
use crate::{
    builder::{
        invoke::Invoke,
        schema::SchemaType,
        steps::{Callable, ToolBuilder},
    },
    conversation::cancel::CancellationToken,
};

/// The arguments of the tool that lists directories.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, JsonSchema)]
pub struct ListDirectory {
    /// The directory; left out or empty for the directories that there are.
    #[serde(default)]
    pub path: String,
    /// How many levels to go down, 1 to 8; left out for 1.
    #[serde(default)]
    pub depth: Option<u32>,
    /// The entry to continue after: `next` of the previous page, with the same path and depth.
    #[serde(default)]
    pub after: Option<String>,
}

/// A page of a directory's entries, sorted by name. The entries of a subdirectory follow the subdirectory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Listing {
    /// The entries.
    pub entries: Vec<Entry>,
    /// The entry to continue after, if there are more.
    pub next: Option<String>,
}

/// Something in a directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Entry {
    /// The path, in the form that the tools take. A name that is not Unicode contains U+FFFD and cannot be opened; if several names then
    /// look the same, they are listed once.
    pub path: String,
    /// What it is.
    pub kind: EntryKind,
    /// The size of a file in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Whether this is a directory whose entries were requested, but some or all of them cannot be read.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unreadable: bool,
}

/// What an entry is, without following links.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// A device, a pipe or a socket.
    Other,
}

impl From<FileType> for EntryKind {
    fn from(of: FileType) -> Self {
        if of.is_file() {
            Self::File
        } else if of.is_dir() {
            Self::Directory
        } else if of.is_symlink() {
            Self::Link
        } else {
            Self::Other
        }
    }
}

impl Directories {
    /// The most entries in one reply.
    pub const MAX_ENTRIES: usize = 200;
    /// The most names that are read per page, over all levels.
    pub const MAX_VISITED: usize = 1_000_000;
    /// The most levels of a listing.
    pub const MAX_DEPTH: u32 = 8;

    /// The tool that lists directories, named `list_directory`; hooks may be added before it is built.
    pub fn list_tool(&self) -> Callable<ListDirectory, Listing, Self, impl Invoke<ListDirectory, Self, Listing>> {
        ToolBuilder::named("list_directory")
            .description(
                "Lists a directory, sorted by name. Without a path it lists the directories that may be read. A page that is not the \
                 last has `next`: pass it as `after` to continue.",
            )
            .with(self.clone())
            .request_schema::<ListDirectory>(SchemaType::Serde)
            .result_schema::<Listing>(SchemaType::Serde)
            .on_invocation(|conversation, _, arguments, directories| {
                let token = conversation.execution().token();
                directories.list_with(&arguments, token).map_err(FileError::into_tool_error)
            })
    }

    /// Lists a directory, without a tool around it.
    ///
    /// # Errors
    /// [`FileError`]; [`FileError::Beyond`] for more than [`MAX_VISITED`](Self::MAX_VISITED) names, [`FileError::Cursor`] for an
    /// `after` that does not lie in the directory.
    ///
    /// ```
    /// use mistral_tools::builtin::{Directories, ListDirectory};
    /// let directories = Directories::new().grant("tmp", std::env::temp_dir())?;
    /// let granted = directories.list(&ListDirectory::default()).unwrap();
    /// assert_eq!(granted.entries[0].path, "tmp");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn list(&self, arguments: &ListDirectory) -> Result<Listing, FileError> {
        self.list_with(arguments, None)
    }

    fn list_with(&self, arguments: &ListDirectory, token: Option<&CancellationToken>) -> Result<Listing, FileError> {
        let depth = arguments.depth.unwrap_or(1).clamp(1, Self::MAX_DEPTH);
        let mut walk = Walk { token, visited: 0, listing: Listing { entries: Vec::new(), next: None } };
        let after = arguments.after.as_deref().filter(|after| !after.is_empty());
        match self.resolve(&arguments.path)? {
            Some((name, directory, within)) => {
                // A directory is never waited for, whatever stands there.
                let opened = directory.open_dir(&within).map_err(failed)?;
                let path = if within == "." { name.to_owned() } else { format!("{name}/{within}") };
                let after = match after {
                    Some(after) => {
                        let below = after.strip_prefix(path.as_str()).and_then(|rest| rest.strip_prefix('/'));
                        Some(below.ok_or(FileError::Cursor)?)
                    }
                    None => None,
                };
                walk.directory(&opened, &path, depth, after)?;
            }
            None => {
                for name in self.grants.keys().filter(|name| after.is_none_or(|after| name.as_str() > after)) {
                    let entry = Entry { path: name.clone(), kind: EntryKind::Directory, size: None, unreadable: false };
                    if !walk.add(entry) {
                        break;
                    }
                }
            }
        }
        Ok(walk.listing)
    }
}

struct Walk<'a> {
    token: Option<&'a CancellationToken>,
    visited: usize,
    listing: Listing,
}

impl Walk<'_> {
    /// Lists a directory and `depth - 1` levels below it, starting after the path `after`. The recursion is at most
    /// [`Directories::MAX_DEPTH`] deep. Returns false when the page is full.
    fn directory(&mut self, directory: &Dir, path: &str, depth: u32, after: Option<&str>) -> Result<bool, FileError> {
        let (mut after, mut inside) = match after {
            Some(after) => match after.split_once('/') {
                Some((name, inside)) => (Some(name.to_owned()), Some(inside)),
                None => (Some(after.to_owned()), None),
            },
            None => (None, None),
        };
        // The entry of the cursor itself was listed; what lies in it was not, or not all.
        if let Some(name) = after.as_deref().filter(|_| depth > 1)
            && directory.symlink_metadata(name).is_ok_and(|found| found.is_dir())
            && let Ok(below) = directory.open_dir(name)
            && !self.below(&below, &format!("{path}/{name}"), depth - 1, inside.take(), None)?
        {
            return Ok(false);
        }
        loop {
            let (names, is_all) = self.smallest(directory, after.as_deref())?;
            let last = names.last_key_value().map(|(name, _)| name.clone());
            for (name, entry) in names {
                if !self.entry(&entry, format!("{path}/{name}"), depth)? {
                    return Ok(false);
                }
            }
            // Entries that went away since they were read may have left room in the page.
            match last.filter(|_| !is_all) {
                Some(last) => after = Some(last),
                None => return Ok(true),
            }
        }
    }

    /// Returns the smallest names after `after`: enough to fill the page and one more. The flag says whether these are all names.
    fn smallest(
        &mut self,
        directory: &Dir,
        after: Option<&str>,
    ) -> Result<(BTreeMap<String, DirEntry>, bool), FileError> {
        let room = Directories::MAX_ENTRIES + 1 - self.listing.entries.len();
        let (mut names, mut is_all) = (BTreeMap::new(), true);
        for entry in directory.entries().map_err(failed)? {
            check(self.token)?;
            self.visited += 1;
            if self.visited > Directories::MAX_VISITED {
                return Err(FileError::Beyond);
            }
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_before = after.is_some_and(|after| name.as_str() <= after);
            let is_last = names.len() == room && names.last_key_value().is_some_and(|(last, _)| *last <= name);
            is_all &= !is_last;
            if is_before || is_last {
                continue;
            }
            names.insert(name, entry);
            if names.len() > room {
                names.pop_last();
                is_all = false;
            }
        }
        Ok((names, is_all))
    }

    /// Lists an entry and its content.
    fn entry(&mut self, entry: &DirEntry, path: String, depth: u32) -> Result<bool, FileError> {
        // An entry that went away since is left out.
        let Ok(file_type) = entry.file_type() else { return Ok(true) };
        let kind = EntryKind::from(file_type);
        let size = match kind {
            EntryKind::File => entry.metadata().ok().map(|metadata| metadata.len()),
            _ => None,
        };
        if !self.add(Entry { path: path.clone(), kind, size, unreadable: false }) {
            return Ok(false);
        }
        if kind != EntryKind::Directory || depth <= 1 {
            return Ok(true);
        }
        let place = self.listing.entries.len() - 1;
        match entry.open_dir() {
            Ok(below) => self.below(&below, &path, depth - 1, None, Some(place)),
            Err(_) => Ok(self.mark(Some(place))),
        }
    }

    /// Lists a subdirectory. If it cannot be read, its entry at `place` says so, and the listing continues.
    fn below(
        &mut self,
        directory: &Dir,
        path: &str,
        depth: u32,
        after: Option<&str>,
        place: Option<usize>,
    ) -> Result<bool, FileError> {
        match self.directory(directory, path, depth, after) {
            Err(FileError::Cancelled) => Err(FileError::Cancelled),
            Err(FileError::Beyond) => Err(FileError::Beyond),
            Err(_) => Ok(self.mark(place)),
            listed => listed,
        }
    }

    fn mark(&mut self, place: Option<usize>) -> bool {
        if let Some(entry) = place.and_then(|place| self.listing.entries.get_mut(place)) {
            entry.unreadable = true;
        }
        true
    }

    /// Adds an entry; returns false when the page is full.
    fn add(&mut self, entry: Entry) -> bool {
        let is_full = self.listing.entries.len() >= Directories::MAX_ENTRIES;
        if is_full {
            self.listing.next = self.listing.entries.last().map(|last| last.path.clone());
        } else {
            self.listing.entries.push(entry);
        }
        !is_full
    }
}
