package catalog_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
	_ "time/tzdata" // the tests want the same zones everywhere

	"tidemark/catalog"
)

func zone(t *testing.T, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func instant(t *testing.T, s string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return at.UTC()
}

func TestPeriods(t *testing.T) {
	for _, tt := range []struct {
		name, zone, at                 string
		hour, second, day, week, month string
	}{
		{"UTC", "UTC", "2026-11-20T14:05:09Z",
			"2026-11-20T1400", "2026-11-20T140509", "2026-11-20", "2026-W47", "2026-11"},
		{"east", "Europe/Berlin", "2026-11-20T23:30:00Z",
			"2026-11-21T0000", "2026-11-21T003000", "2026-11-21", "2026-W47", "2026-11"},
		{"west", "America/New_York", "2026-12-01T04:59:59Z",
			"2026-11-30T2300", "2026-11-30T235959", "2026-11-30", "2026-W49", "2026-11"},
		{"the year of a week is not that of its day", "UTC", "2027-01-01T00:00:00Z",
			"2027-01-01T0000", "2027-01-01T000000", "2027-01-01", "2026-W53", "2027-01"},
		{"half an hour", "Asia/Kolkata", "2026-11-20T14:31:00Z",
			"2026-11-20T2000", "2026-11-20T200100", "2026-11-20", "2026-W47", "2026-11"},
		{"three quarters of an hour", "Asia/Kathmandu", "2026-11-20T18:15:00Z",
			"2026-11-21T0000", "2026-11-21T000000", "2026-11-21", "2026-W47", "2026-11"},
		{"the hour before the clock is put on", "Europe/Berlin", "2026-03-29T00:59:59Z",
			"2026-03-29T0100", "2026-03-29T015959", "2026-03-29", "2026-W13", "2026-03"},
		{"the hour after it", "Europe/Berlin", "2026-03-29T01:00:00Z",
			"2026-03-29T0300", "2026-03-29T030000", "2026-03-29", "2026-W13", "2026-03"},
		{"the hour before the clock is put back", "Europe/Berlin", "2026-10-25T00:30:00Z",
			"2026-10-25T0200+0200", "2026-10-25T023000+0200", "2026-10-25", "2026-W43", "2026-10"},
		{"the same hour again", "Europe/Berlin", "2026-10-25T01:30:00Z",
			"2026-10-25T0200b+0100", "2026-10-25T023000+0100", "2026-10-25", "2026-W43", "2026-10"},
		{"the hour after both", "Europe/Berlin", "2026-10-25T02:00:00Z",
			"2026-10-25T0300", "2026-10-25T030000", "2026-10-25", "2026-W43", "2026-10"},
		{"put back to Greenwich", "Europe/London", "2026-10-25T01:30:00Z",
			"2026-10-25T0100b+0000", "2026-10-25T013000+0000", "2026-10-25", "2026-W43", "2026-10"},
		{"put back in the west", "America/New_York", "2026-11-01T05:00:00Z",
			"2026-11-01T0100-0400", "2026-11-01T010000-0400", "2026-11-01", "2026-W44", "2026-11"},
		{"put back in the west, again", "America/New_York", "2026-11-01T06:00:00Z",
			"2026-11-01T0100b-0500", "2026-11-01T010000-0500", "2026-11-01", "2026-W44", "2026-11"},
		{"put back by half an hour, a part not shown twice", "Australia/Lord_Howe", "2026-04-04T14:10:00Z",
			"2026-04-05T0100+1100", "2026-04-05T011000", "2026-04-05", "2026-W14", "2026-04"},
		{"put back by half an hour, a part shown twice", "Australia/Lord_Howe", "2026-04-04T14:40:00Z",
			"2026-04-05T0100+1100", "2026-04-05T014000+1100", "2026-04-05", "2026-W14", "2026-04"},
		{"put back by half an hour, again", "Australia/Lord_Howe", "2026-04-04T15:10:00Z",
			"2026-04-05T0100b+1030", "2026-04-05T014000+1030", "2026-04-05", "2026-W14", "2026-04"},
		{"the last hour before a day that Samoa skipped", "Pacific/Apia", "2011-12-30T09:59:59Z",
			"2011-12-29T2300", "2011-12-29T235959", "2011-12-29", "2011-W52", "2011-12"},
		{"the first hour after it", "Pacific/Apia", "2011-12-30T10:00:00Z",
			"2011-12-31T0000", "2011-12-31T000000", "2011-12-31", "2011-W52", "2011-12"},
		{"a day that has no midnight", "America/Sao_Paulo", "2018-11-04T03:00:00Z",
			"2018-11-04T0100", "2018-11-04T010000", "2018-11-04", "2018-W44", "2018-11"},
		{"put back across midnight", "America/Sao_Paulo", "2019-02-17T02:30:00Z",
			"2019-02-16T2300b-0300", "2019-02-16T233000-0300", "2019-02-16", "2019-W07", "2019-02"},
		{"an offset with seconds", "Africa/Monrovia", "1971-06-01T00:44:30Z",
			"1971-06-01T0000", "1971-06-01T000000", "1971-06-01", "1971-W22", "1971-06"},
		{"put back from an offset with seconds", "America/New_York", "1883-11-18T16:58:00Z",
			"1883-11-18T1200-045602", "1883-11-18T120158-045602", "1883-11-18", "1883-W46", "1883-11"},
		{"before 1970", "UTC", "1969-12-31T23:59:59Z",
			"1969-12-31T2300", "1969-12-31T235959", "1969-12-31", "1970-W01", "1969-12"},
		{"the first year", "UTC", "0001-01-01T00:00:00Z",
			"0001-01-01T0000", "0001-01-01T000000", "0001-01-01", "0001-W01", "0001-01"},
		{"before the first year", "America/New_York", "0001-01-01T00:00:00Z",
			"0001-01-01T0000", "0001-01-01T000000", "0001-01-01", "0001-W01", "0001-01"},
		{"the year 0", "UTC", "0000-06-01T12:00:00Z",
			"0001-01-01T0000", "0001-01-01T000000", "0001-01-01", "0001-W01", "0001-01"},
		{"the last year", "UTC", "9999-12-31T23:59:59Z",
			"9999-12-31T2300", "9999-12-31T235959", "9999-12-31", "9999-W52", "9999-12"},
		{"after the last year", "Asia/Tokyo", "9999-12-31T23:59:59Z",
			"9999-12-31T2300", "9999-12-31T235959", "9999-12-31", "9999-W52", "9999-12"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			at, z := instant(t, tt.at), zone(t, tt.zone)
			for _, p := range []struct {
				call string
				got  catalog.Period
				want string
			}{
				{"HourOf", catalog.HourOf(at, z), tt.hour},
				{"SecondOf", catalog.SecondOf(at, z), tt.second},
				{"DayOf", catalog.DayOf(at, z), tt.day},
				{"WeekOf", catalog.WeekOf(at, z), tt.week},
				{"MonthOf", catalog.MonthOf(at, z), tt.month},
			} {
				if p.got.Name != p.want {
					t.Errorf("%s(%s, %s).Name = %q, want %q", p.call, tt.at, tt.zone, p.got.Name, p.want)
				}
			}
		})
	}
}

func TestPeriodBegins(t *testing.T) {
	berlin := zone(t, "Europe/Berlin")
	for _, tt := range []struct {
		at   string
		of   func(time.Time, *time.Location) catalog.Period
		want string
	}{
		{"2026-10-25T00:30:00Z", catalog.HourOf, "2026-10-25T00:00:00Z"},
		{"2026-10-25T01:30:00Z", catalog.HourOf, "2026-10-25T01:00:00Z"},
		{"2026-10-25T22:30:00Z", catalog.DayOf, "2026-10-24T22:00:00Z"},
		{"2026-10-25T22:30:00Z", catalog.WeekOf, "2026-10-18T22:00:00Z"},
		{"2026-10-25T23:30:00Z", catalog.WeekOf, "2026-10-25T23:00:00Z"}, // Monday in Berlin
		{"2026-11-01T00:00:00Z", catalog.MonthOf, "2026-10-31T23:00:00Z"},
	} {
		if got := tt.of(instant(t, tt.at), berlin); !got.Begin.Equal(instant(t, tt.want)) {
			t.Errorf("period of %s begins %s, want %s", tt.at, got.Begin.UTC().Format(time.RFC3339), tt.want)
		}
	}
	if got := catalog.HourOf(instant(t, "2026-04-04T15:10:00Z"), zone(t, "Australia/Lord_Howe")); !got.Begin.Equal(instant(t, "2026-04-04T15:00:00Z")) {
		t.Errorf("an hour of which half is shown again begins %s, want when the clock is put back", got.Begin.UTC())
	}
}

// TestDaysBegin looks at the instant before each day that has a change of the
// clock, and at the first of the day.
func TestDaysBegin(t *testing.T) {
	for _, name := range append(zones, "America/Havana", "Africa/Cairo", "Asia/Amman") {
		z := zone(t, name)
		for at := time.Date(1990, 1, 1, 0, 0, 0, 0, z); at.Year() < 2030; {
			_, change := at.ZoneBounds()
			if change.IsZero() {
				break
			}
			day := catalog.DayOf(change, z)
			first, before := catalog.DayOf(day.Begin, z).Name, catalog.DayOf(day.Begin.Add(-time.Second), z).Name
			if first != day.Name || before >= day.Name {
				t.Errorf("%s: %s begins %s, which is in %s, after %s", name, day.Name, day.Begin, first, before)
			}
			at = change
		}
	}
}

// zones have what makes time hard: every sort of offset, and of change.
var zones = []string{
	"UTC", "Europe/Berlin", "Europe/London", "America/New_York", "America/Sao_Paulo", "Asia/Kolkata",
	"Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Apia", "Pacific/Chatham", "Pacific/Kiritimati",
	"Africa/Casablanca", "Asia/Pyongyang", "America/Caracas", "Europe/Moscow",
}

// TestHoursSortByTime takes times at random, most of them near a change of the
// clock, and sorts them: so must be their hours.
func TestHoursSortByTime(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, name := range zones {
		z := zone(t, name)
		times := []time.Time{}
		for range 300 {
			at := time.Unix(random.Int64N(6e9)-1e9, 0) // 1938 to 2128
			times = append(times, at)
			if _, end := at.In(z).ZoneBounds(); !end.IsZero() {
				for range 20 {
					times = append(times, end.Add(time.Duration(random.Int64N(8*3600)-4*3600)*time.Second))
				}
			}
		}
		slices.SortFunc(times, time.Time.Compare)
		var last catalog.Period
		for _, at := range times {
			p := catalog.HourOf(at, z)
			if oddChange(at, z) {
				continue
			}
			if p.Name < last.Name || p.Begin.Before(last.Begin) {
				t.Fatalf("%s: %s %v comes after %s %v", name, p.Name, p.Begin, last.Name, last.Begin)
			}
			if p.Begin.After(at) || at.Sub(p.Begin) >= time.Hour {
				t.Fatalf("%s: the hour of %s begins %s", name, at, p.Begin)
			}
			last = p
		}
	}
}

// oddChange reports whether the clock is put back close to at, by more than an
// hour or not at the full hour: names cannot sort by time then.
func oddChange(at time.Time, z *time.Location) bool {
	start, end := at.In(z).ZoneBounds()
	for _, change := range []time.Time{start, end} {
		if change.IsZero() || change.Sub(at).Abs() > 48*time.Hour {
			continue
		}
		_, before := change.Add(-time.Second).Zone()
		_, after := change.Zone()
		atTheHour := (change.Unix()+int64(before))%3600 == 0
		if before-after > 3600 || before > after && !atTheHour {
			return true
		}
	}
	return false
}

// TestHoursAreTold takes all hours of the days around every change of the
// clock: two that are apart have different names, whatever the zone does.
func TestHoursAreTold(t *testing.T) {
	for _, name := range append(zones, "America/Juneau", "Antarctica/Casey", "Antarctica/Troll", "America/St_Johns", "Pacific/Kwajalein") {
		z := zone(t, name)
		for at := time.Date(1860, 1, 1, 0, 0, 0, 0, z); at.Year() < 2030; {
			_, end := at.ZoneBounds()
			if end.IsZero() {
				break
			}
			seen := map[string]time.Time{} // begin, by name
			for m := -30 * 60; m < 30*60; m += 20 {
				p := catalog.HourOf(end.Add(time.Duration(m)*time.Minute), z)
				if begin, ok := seen[p.Name]; ok && p.Begin.Sub(begin).Abs() >= time.Hour {
					t.Fatalf("%s: two hours are called %s: from %s and from %s", name, p.Name, begin.UTC(), p.Begin.UTC())
				}
				seen[p.Name] = p.Begin
			}
			at = end
		}
	}
}

func ExampleHourOf() {
	berlin, _ := time.LoadLocation("Europe/Berlin")
	for _, at := range []string{"2026-10-24T23:59:00Z", "2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z"} {
		t, _ := time.Parse(time.RFC3339, at)
		fmt.Println(catalog.HourOf(t, berlin).Name)
	}
	// Output:
	// 2026-10-25T0100
	// 2026-10-25T0200+0200
	// 2026-10-25T0200b+0100
	// 2026-10-25T0300
}
