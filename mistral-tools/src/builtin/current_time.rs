//! The date and the time, in UTC or at a fixed offset from it.
//!
//! The calendar is worked out by hand (the civil-from-days rule in eras of 400 years, as in Howard Hinnant's "chrono-compatible
//! low-level date algorithms"): it is a dozen lines, where the date crates bring formats and time zones that no tool here needs.
//! There is no database of time zones, hence no names of zones and no daylight saving: the model gives the offset.

use std::{
    fmt,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    builder::{
        invoke::Invoke,
        schema::SchemaType,
        steps::{Callable, ToolBuilder},
    },
    outcome::{kinds::ErrorKind, tool_error::ToolError},
};

const DAY: i64 = 86_400;

/// The arguments of the clock.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, JsonSchema)]
pub struct Zone {
    /// The offset from UTC, for example `+02:00` or `-03:30`; left out for UTC.
    #[serde(default)]
    pub offset: Option<String>,
}

/// A date and a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct DateTime {
    /// Date, time and offset as ISO 8601 writes them, for example `2024-02-29T23:59:59Z`.
    pub iso: String,
    /// The day of the week, in English.
    pub weekday: &'static str,
    /// Seconds since 1970-01-01 at midnight in UTC.
    pub unix: i64,
}

/// Says what date and time it is, by a clock of the host's choice.
///
/// ```
/// use std::time::{Duration, UNIX_EPOCH};
/// use mistral_tools::{Invocation, Reply, Tool, builtin::CurrentTime};
///
/// let clock = CurrentTime::by(|| UNIX_EPOCH + Duration::from_secs(1_709_251_199));
/// let tool = clock.tool().build()?;
/// let mut reply = Reply::new();
/// assert!(tool.call(&Invocation::default(), br#"{"offset": "+05:30"}"#, &mut reply).is_success());
/// assert_eq!(reply.as_str(), r#"{"iso":"2024-03-01T05:29:59+05:30","weekday":"Friday","unix":1709251199}"#);
/// # Ok::<(), mistral_tools::Error>(())
/// ```
#[derive(Clone)]
pub struct CurrentTime {
    now: Arc<dyn Fn() -> SystemTime + Send + Sync>,
}

impl CurrentTime {
    /// By the clock of the machine.
    pub fn new() -> Self {
        Self::by(SystemTime::now)
    }

    /// By a clock that the host gives, which makes tests and replays deterministic.
    pub fn by(now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self { now: Arc::new(now) }
    }

    /// The tool, named `current_time`; hooks may be added before it is built.
    pub fn tool(self) -> Callable<Zone, DateTime, Self, impl Invoke<Zone, Self, DateTime>> {
        ToolBuilder::named("current_time")
            .description("The current date, time and day of the week, in UTC or at an offset from it.")
            .with(self)
            .request_schema::<Zone>(SchemaType::Serde)
            .result_schema::<DateTime>(SchemaType::Serde)
            .on_invocation(|_, _, zone, clock| clock.at(zone.offset.as_deref()))
    }

    /// The time now, at this offset (`+hh:mm`, `+hhmm`, `+hh`, `Z` or `UTC`), without a tool around it.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArguments`] for an offset that is none or beyond 18 hours, and [`ErrorKind::Failed`] if the host's
    /// clock is outside of the years 0 to 9999.
    ///
    /// ```
    /// use mistral_tools::builtin::CurrentTime;
    /// let clock = CurrentTime::by(|| std::time::UNIX_EPOCH);
    /// assert_eq!(clock.at(Some("-03:30"))?.iso, "1969-12-31T20:30:00-03:30");
    /// assert!(clock.at(Some("Mars")).is_err());
    /// # Ok::<(), mistral_tools::ToolError>(())
    /// ```
    pub fn at(&self, offset: Option<&str>) -> Result<DateTime, ToolError> {
        let minutes = match offset.map(str::trim) {
            None | Some("" | "Z" | "z" | "UTC" | "utc" | "GMT") => 0,
            Some(text) => minutes(text).ok_or_else(|| {
                ToolError::new(ErrorKind::InvalidArguments, "the offset is not like +02:00 or -03:30, within 18 hours")
            })?,
        };
        let unix = seconds((self.now)()).ok_or_else(out_of_range)?;
        date_time(unix, minutes).ok_or_else(out_of_range)
    }
}

impl Default for CurrentTime {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for CurrentTime {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("CurrentTime").finish_non_exhaustive()
    }
}

fn out_of_range() -> ToolError {
    ToolError::failed("the clock of this machine is wrong")
}

/// Whole seconds since 1970, rounded down.
fn seconds(time: SystemTime) -> Option<i64> {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_secs()).ok(),
        Err(error) => {
            let before = error.duration();
            let whole = i64::try_from(before.as_secs()).ok()?;
            (-whole).checked_sub(i64::from(before.subsec_nanos() > 0))
        }
    }
}

/// The minutes of `+hh:mm`, `+hhmm`, `+hh` or `+h`.
fn minutes(text: &str) -> Option<i64> {
    let (sign, rest) = match text.strip_prefix(['-', '\u{2212}']) {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+')?),
    };
    if !rest.bytes().all(|byte| byte.is_ascii_digit() || byte == b':') {
        return None;
    }
    let (hours, minutes) = match (rest.split_once(':'), rest.len()) {
        (Some((hours, minutes)), _) if minutes.len() == 2 => (hours, minutes),
        (None, 1 | 2) => (rest, "0"),
        (None, 4) => rest.split_at_checked(2)?,
        _ => return None,
    };
    let (hours, minutes): (i64, i64) = (hours.parse().ok()?, minutes.parse().ok()?);
    let total = hours.checked_mul(60)?.checked_add(minutes)?;
    (minutes < 60 && total <= 18 * 60).then_some(sign * total)
}

/// The proleptic Gregorian calendar at an offset of minutes.
fn date_time(unix: i64, offset: i64) -> Option<DateTime> {
    const WEEKDAYS: [&str; 7] = ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];
    let local = unix.checked_add(offset.checked_mul(60)?)?;
    let (days, second) = (local.div_euclid(DAY), local.rem_euclid(DAY));
    let (year, month, day) = civil(days)?;
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let zone = match offset {
        0 => "Z".to_owned(),
        _ => format!("{}{:02}:{:02}", if offset < 0 { '-' } else { '+' }, offset.abs() / 60, offset.abs() % 60),
    };
    let iso = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{zone}");
    let weekday = usize::try_from(days.rem_euclid(7)).ok().and_then(|day| WEEKDAYS.get(day))?;
    Some(DateTime { iso, weekday, unix })
}

/// Year, month and day of a number of days since 1970-01-01; years 0 to 9999.
fn civil(days: i64) -> Option<(i64, i64, i64)> {
    /// Days from 0000-03-01, where a year that starts in March has its leap day at the end.
    const EPOCH: i64 = 719_468;
    const ERA: i64 = 146_097;
    let days = days.checked_add(EPOCH)?;
    let (era, of_era) = (days.div_euclid(ERA), days.rem_euclid(ERA));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era.checked_mul(400)?.checked_add(year_of_era)? + i64::from(month <= 2);
    (0..=9999).contains(&year).then_some((year, month, day))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        outcome::reply::Reply,
        tool::{Invocation, Tool},
    };

    #[test]
    fn every_day_of_ten_thousand_years_follows_the_last() {
        let leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let (mut year, mut month, mut day) = (0, 1, 1);
        // 0000-01-01 is 719,528 days before 1970-01-01.
        for days in -719_528.. {
            if year == 10_000 {
                assert_eq!(civil(days), None);
                break;
            }
            assert_eq!(civil(days), Some((year, month, day)), "{days}");
            let length = match month {
                2 => 28 + i64::from(leap(year)),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            day += 1;
            if day > length {
                (day, month) = (1, month + 1);
            }
            if month > 12 {
                (month, year) = (1, year + 1);
            }
        }
        assert_eq!(civil(-719_529), None);
    }

    #[test]
    fn known_moments() {
        for (unix, offset, iso, weekday) in [
            (0, 0, "1970-01-01T00:00:00Z", "Thursday"),
            (-1, 0, "1969-12-31T23:59:59Z", "Wednesday"),
            (951_782_400, 0, "2000-02-29T00:00:00Z", "Tuesday"),
            (951_782_400, -1, "2000-02-28T23:59:00-00:01", "Monday"),
            (1_709_251_199, 0, "2024-02-29T23:59:59Z", "Thursday"),
            (1_709_251_199, 345, "2024-03-01T05:44:59+05:45", "Friday"),
            (4_102_444_799, 14 * 60, "2100-01-01T13:59:59+14:00", "Friday"),
        ] {
            let found = date_time(unix, offset).unwrap();
            assert_eq!((found.iso.as_str(), found.weekday, found.unix), (iso, weekday, unix));
        }
    }

    #[test]
    fn offsets() {
        for (text, expected) in [
            ("+02:00", Some(120)),
            ("-03:30", Some(-210)),
            ("\u{2212}1", Some(-60)),
            ("+0545", Some(345)),
            ("+18:00", Some(1080)),
            ("+18:01", None),
            ("+00:60", None),
            ("+99999999999999999999:00", None),
            ("02:00", None),
            ("Europe/Paris", None),
            ("+", None),
            ("+:00", None),
            ("+1:2:3", None),
            ("++1", None),
            ("+é0", None),
        ] {
            assert_eq!(minutes(text), expected, "{text}");
        }
    }

    #[test]
    fn the_tool_and_its_errors() {
        let tool = CurrentTime::by(|| UNIX_EPOCH - Duration::from_millis(500)).tool().build().unwrap();
        let mut reply = Reply::new();
        for arguments in ["{}", "", r#"{"offset": null}"#, r#"{"offset": "UTC"}"#] {
            assert!(tool.call(&Invocation::default(), arguments.as_bytes(), &mut reply).is_success(), "{reply:?}");
            assert_eq!(reply.as_str(), r#"{"iso":"1969-12-31T23:59:59Z","weekday":"Wednesday","unix":-1}"#);
        }
        let outcome = tool.call(&Invocation::default(), br#"{"offset": "CET"}"#, &mut reply);
        assert_eq!(outcome.error_kind(), Some(ErrorKind::InvalidArguments));
        let far = CurrentTime::by(|| UNIX_EPOCH + Duration::from_secs(1 << 40)).tool().build().unwrap();
        let outcome = far.call(&Invocation::default(), b"{}", &mut reply);
        assert_eq!(outcome.error_kind(), Some(ErrorKind::Failed));
    }
}
