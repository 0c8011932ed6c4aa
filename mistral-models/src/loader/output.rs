//! The one place of this crate that writes files: whole files, or none.
//!
//! A file is written under another name in the same directory and gets its own name when it is complete. A symbolic link stays a
//! link: the file that it leads to is written. What is not a regular file stays as it is, and the writer refuses it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::Error;
use crate::loader::mmap;

/// A file on its way to its name: before [`finish`](OutputFile::finish) the former file is untouched, after it the new one is there.
///
/// Dropping the value before that removes what was written. The new file has the permissions of the one that it replaces; other hard
/// links to that one keep the former content. The program that reads the former file, by a map or an open handle, keeps it too: a
/// checkpoint may be replaced by what is made of it.
///
/// ```
/// use std::io::Write;
/// use mistral_models::loader::OutputFile;
/// # let path = std::env::temp_dir().join(format!("output-file-{}", std::process::id()));
///
/// let mut file = OutputFile::create(&path)?;
/// file.write_all(b"all or nothing")?;
/// file.finish()?;
/// assert_eq!(std::fs::read(&path)?, b"all or nothing");
/// # std::fs::remove_file(path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct OutputFile {
    /// Where the file goes: the end of all symbolic links.
    target: PathBuf,
    /// Where the file is until then.
    partial: PathBuf,
    /// `None` once everything is on the disk.
    file: Option<BufWriter<File>>,
    published: bool,
}

/// As many symbolic links in a row as Linux follows.
const LINKS: usize = 40;

impl OutputFile {
    /// Begins a file. The directory must exist.
    ///
    /// # Errors
    /// [`Error::WrongFile`] for a directory, a device, a pipe or a socket at this path or at the end of its links; [`Error::Io`] for a
    /// file that may not be written, a loop of links, and a directory in which no file can be made.
    pub fn create(path: impl AsRef<Path>) -> Result<Self, Error> {
        let target = resolved(path.as_ref())?;
        let permissions = match fs::symlink_metadata(&target) {
            Ok(meta) => {
                mmap::regular(&target, &meta)?;
                if meta.permissions().readonly() {
                    return Err(Error::io(&target, io::ErrorKind::PermissionDenied.into()));
                }
                Some(meta.permissions())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(Error::io(&target, error)),
        };
        let (partial, file) = temporary(&target)?;
        let output = Self { target, partial, file: Some(BufWriter::new(file)), published: false };
        if let Some(permissions) = permissions {
            fs::set_permissions(&output.partial, permissions).map_err(|e| Error::io(&output.partial, e))?;
        }
        Ok(output)
    }

    /// Writes a whole file.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn write(path: impl AsRef<Path>, bytes: &[u8]) -> Result<(), Error> {
        let mut file = Self::create(path)?;
        file.write_all(bytes).map_err(|e| Error::io(&file.target, e))?;
        file.finish()
    }

    /// Brings everything to the disk and gives the file its name.
    ///
    /// # Errors
    /// [`Error::Io`]; the former file is then still there.
    pub fn finish(mut self) -> Result<(), Error> {
        self.complete()?;
        self.publish()
    }

    /// Brings everything to the disk and closes the file, which keeps its other name.
    pub(crate) fn complete(&mut self) -> Result<(), Error> {
        let Some(file) = self.file.take() else { return Ok(()) };
        let written = file.into_inner().map_err(io::IntoInnerError::into_error).and_then(|file| file.sync_all());
        written.map_err(|e| Error::io(&self.target, e))
    }

    /// Gives a complete file its name.
    pub(crate) fn publish(&mut self) -> Result<(), Error> {
        fs::rename(&self.partial, &self.target).map_err(|e| Error::io(&self.target, e))?;
        self.published = true;
        Ok(())
    }
}

impl Write for OutputFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.as_mut().ok_or(io::ErrorKind::BrokenPipe)?.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), Write::flush)
    }
}

impl Drop for OutputFile {
    fn drop(&mut self) {
        if !self.published {
            self.file = None; // Windows removes no open file.
            let _ = fs::remove_file(&self.partial); // The error that led here is the one to tell of.
        }
    }
}

/// The end of the symbolic links that begin at `path`; it need not exist.
fn resolved(path: &Path) -> Result<PathBuf, Error> {
    let mut end = path.to_owned();
    for _ in 0..LINKS {
        match fs::symlink_metadata(&end) {
            Ok(meta) if meta.is_symlink() => {
                let link = fs::read_link(&end).map_err(|e| Error::io(&end, e))?;
                // An absolute path replaces the directory of the link.
                end = end.parent().unwrap_or(Path::new("")).join(link);
            }
            Ok(_) => return Ok(end),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(end),
            Err(error) => return Err(Error::io(&end, error)),
        }
    }
    let detail = format!("more than {LINKS} symbolic links in a row");
    Err(Error::io(path, io::Error::other(detail)))
}

/// A new file next to `target`. Its name is short, as the target's may be as long as names can be.
fn temporary(target: &Path) -> Result<(PathBuf, File), Error> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    if target.file_name().is_none() {
        let detail = io::Error::new(io::ErrorKind::InvalidInput, "the path does not end in the name of a file");
        return Err(Error::io(target, detail));
    }
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let partial = target.with_file_name(format!(".mistral-{}-{number}.partial", std::process::id()));
        // A file of this name, which a killed process of the same number left, is neither written nor followed.
        match OpenOptions::new().write(true).create_new(true).open(&partial) {
            Ok(file) => return Ok((partial, file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let detail = "the directory for the file does not exist; make it first";
                return Err(Error::io(target, io::Error::new(error.kind(), detail)));
            }
            Err(error) => return Err(Error::io(target, error)),
        }
    }
}

#[cfg(test)]
mod tests;
