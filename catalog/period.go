package catalog

import (
	"fmt"
	"time"
)

// A Period is an hour, a day, a week or a month of a time zone.
type Period struct {
	Name  string    // the directory that it is shown as
	Begin time.Time // its first instant
}

// The names of periods are those of the zone's clock and calendar. They have
// no colon, which scp, rsync and Samba trip over, and as bytes they sort by
// time. The one exception is when a clock was put back by more than an hour, or
// not at the full hour (in St. John's until 2011): the names of hours that it
// showed twice are then not all in the order of their Begin. Times whose year
// in the zone is not 1 to 9999 are counted to the first or the last second of
// those years.

// HourOf returns the hour that t is in, "2026-11-20T1400". An hour of which
// the clock shows any part twice, because it is put back, carries its offset
// from UTC, and the second of the two a "b" before it, so that it sorts after
// the first: "2026-10-25T0200+0200" and "2026-10-25T0200b+0100".
func HourOf(t time.Time, zone *time.Location) Period {
	return clockPeriod(t, zone, time.Hour, "2006-01-02T1500", "b")
}

// SecondOf returns the second that t is in, "2026-11-20T140509": the name of
// a point's exact time. One that the clock shows twice carries its offset:
// "2026-10-25T023000+0200". The names of those seconds do not sort by time.
func SecondOf(t time.Time, zone *time.Location) Period {
	return clockPeriod(t, zone, time.Second, "2006-01-02T150405", "")
}

// DayOf returns the day that t is in, "2026-11-20".
func DayOf(t time.Time, zone *time.Location) Period {
	year, month, day := civil(t, zone).Date()
	return Period{fmt.Sprintf("%04d-%02d-%02d", year, month, day), midnight(year, month, day, zone)}
}

// WeekOf returns the week of ISO 8601 that t is in, "2026-W47". Weeks begin
// on Monday, and the year is the one that the week's Thursday is in.
func WeekOf(t time.Time, zone *time.Location) Period {
	local := civil(t, zone)
	year, week := local.ISOWeek()
	monday := local.AddDate(0, 0, -(int(local.Weekday())+6)%7)
	y, m, d := monday.Date()
	return Period{fmt.Sprintf("%04d-W%02d", year, week), midnight(y, m, d, zone)}
}

// MonthOf returns the month that t is in, "2026-11".
func MonthOf(t time.Time, zone *time.Location) Period {
	year, month, _ := civil(t, zone).Date()
	return Period{fmt.Sprintf("%04d-%02d", year, month), midnight(year, month, 1, zone)}
}

// midnight returns the first instant of a day. The clock may be put on at
// 0:00, and show the first instant as 1:00, or be put back to 0:00, and show
// that twice.
func midnight(year int, month time.Month, day int, zone *time.Location) time.Time {
	t := time.Date(year, month, day, 0, 0, 0, 0, zone)
	if t.Day() != day {
		_, end := t.ZoneBounds()
		return end
	}
	if r, back := showing(t, civil(t, zone), time.Second); r == shownAgain {
		_, before := back.Add(-time.Second).Zone()
		_, after := t.Zone()
		return t.Add(seconds(after - before))
	}
	return t
}

// clockPeriod returns the hour or the second that t is in. If the clock shows
// it again, again stands before the offset.
func clockPeriod(t time.Time, zone *time.Location, width time.Duration, layout, again string) Period {
	local := civil(t, zone).Truncate(width)
	_, offset := t.In(zone).Zone()
	begin := local.Add(-seconds(offset))
	name := local.Format(layout)
	switch repeat, back := showing(t.In(zone), local, width); repeat {
	case shownFirst:
		name += formatOffset(offset)
	case shownAgain:
		name += again + formatOffset(offset)
		if begin.Before(back) {
			begin = back
		}
	}
	return Period{name, begin.In(zone)}
}

// The first and the last second of the years that names have room for. The
// former is a Monday: its week, too, is one of the year 1.
var (
	firstCivil = time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)
	lastCivil  = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
)

// civil returns what zone's clock and calendar show at t, to the second, as a
// time in UTC: one that can be reckoned with, since no hour is missing in UTC
// or comes twice.
func civil(t time.Time, zone *time.Location) time.Time {
	_, offset := t.In(zone).Zone()
	local := time.Unix(t.Unix(), 0).UTC().Add(seconds(offset))
	switch {
	case local.Before(firstCivil):
		return firstCivil
	case local.After(lastCivil):
		return lastCivil
	}
	return local
}

// A repeat says whether a clock shows a period once or, in part, twice.
type repeat int

const (
	shownOnce repeat = iota
	shownFirst
	shownAgain
)

// showing says whether t's clock shows some of the civil times from local on,
// of which t is one, twice: because it is put back while t's offset ends, or
// was put back, at the instant back, when t's offset began.
func showing(t, local time.Time, width time.Duration) (r repeat, back time.Time) {
	_, offset := t.Zone()
	start, end := t.ZoneBounds()
	if !start.IsZero() {
		_, before := start.Add(-time.Second).Zone()
		if twice(start, before, offset, local, width) {
			return shownAgain, start
		}
	}
	if !end.IsZero() {
		_, after := end.Zone()
		if twice(end, offset, after, local, width) {
			return shownFirst, time.Time{}
		}
	}
	return shownOnce, time.Time{}
}

// twice reports whether a clock whose offset changes at the instant at shows
// some of the civil times from local on, width of them, before and after it.
func twice(at time.Time, before, after int, local time.Time, width time.Duration) bool {
	from, to := at.UTC().Add(seconds(after)), at.UTC().Add(seconds(before))
	return from.Before(to) && from.Before(local.Add(width)) && local.Before(to)
}

// formatOffset writes an offset, in seconds east of UTC, as "+0100", or as
// "-004430" where it has seconds.
func formatOffset(offset int) string {
	sign := '+'
	if offset < 0 {
		sign, offset = '-', -offset
	}
	s := fmt.Sprintf("%c%02d%02d", sign, offset/3600, offset/60%60)
	if offset%60 != 0 {
		s += fmt.Sprintf("%02d", offset%60)
	}
	return s
}

func seconds(n int) time.Duration { return time.Duration(n) * time.Second }
