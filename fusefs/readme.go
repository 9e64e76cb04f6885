package fusefs

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// maxListed is how many names README.txt lists of hosts.
const maxListed = 10

// readme returns what README.txt says, and its time. Its commands work as they
// stand: they name what there is at this moment.
func (d topDir) readme(ctx context.Context) (text []byte, at time.Time) {
	var examples, zone string
	switch {
	case d.host != "":
		if x, err := d.m.arranged(ctx, d.host); err == nil {
			examples, zone, at = d.examples(x), x.zone(), x.newest(viewNames...)
		}
	case len(d.hosts) > 0:
		examples = fmt.Sprintf("    ls %s\n", d.in(hostsName, d.hosts[0], "daily"))
	}
	if examples == "" {
		examples = "    (there is nothing yet: a point shows here as soon as it is made)\n"
	}
	return []byte("Here are files as they were. To restore, copy them, with cp, rsync or a file manager:\n\n" +
		examples +
		"\nhourly, daily, weekly, monthly: the first complete point of each, so a day as it began" + zone + ".\n" +
		"latest: the newest point of each source. pinned: points that are kept, by name.\n" +
		"incomplete: points that miss something; what that is reads as an error.\n" +
		d.whose() +
		"Nothing here can be changed. What cannot be read is an \"Input/output error\", never\n" +
		"an empty file, and the log of the mount says why.\n"), at
}

// in returns the path of something in the mount, for a shell.
func (d topDir) in(names ...string) string { return quote(d.m.dir + "/" + strings.Join(names, "/")) }

// examples returns commands about what is shown.
func (d topDir) examples(x *arranged) string {
	var b strings.Builder
	if latest := x.views[latestName].list; len(latest) > 0 {
		source := latest[0].Name
		fmt.Fprintf(&b, "    cp -a %s %s\n", d.in(latestName, source, "."), quote(source+".restored"))
	}
	days := x.views["daily"].list
	if len(days) == 0 {
		return b.String()
	}
	last := &days[len(days)-1]
	source := last.Points[0].Source
	fmt.Fprintf(&b, "    ls -l %s\n", d.in("daily", last.Name, source))
	for i := len(days) - 2; i >= 0; i-- {
		if days[i].Points[0].Source == source {
			fmt.Fprintf(&b, "    diff -r %s %s\n", d.in("daily", days[i].Name, source), d.in("daily", last.Name, source))
			break
		}
	}
	return b.String()
}

// whose says whose points stand at the top, or why nobody's do.
func (d topDir) whose() string {
	hosts := strings.Join(d.hosts[:min(len(d.hosts), maxListed)], ", ")
	if len(d.hosts) > maxListed {
		hosts += ", …"
	}
	switch {
	case len(d.hosts) == 0:
		return "No host has been captured yet.\n"
	case d.host == "":
		return fmt.Sprintf("There are points of several hosts, and this machine is none of them, so each has them in\nhosts/HOST: %s.\n", hosts)
	case len(d.hosts) == 1:
		return fmt.Sprintf("These are the points of host %s, the only one.\n", d.host)
	}
	return fmt.Sprintf("These are the points of host %s; hosts/ has those of every host: %s.\n", d.host, hosts)
}

// zone says which clock the names are of.
func (x *arranged) zone() string {
	days := x.views["daily"].list
	if len(days) == 0 {
		return ""
	}
	if name := days[0].Time.Location().String(); name != "Local" {
		return " (time zone " + name + ")"
	}
	return " (by this machine's clock)"
}

// quote returns s as a shell would read it back.
func quote(s string) string {
	safe := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+@%:,", r)
	}
	if strings.IndexFunc(s, func(r rune) bool { return !safe(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
