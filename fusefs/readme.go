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
func (d topDir) readme(ctx context.Context) ([]byte, time.Time, error) {
	host, path := d.host, ""
	if host == "" && len(d.hosts) > 0 {
		host = d.hosts[0]
		path = join(hostsName, host)
	}
	var examples, zone string
	at := d.m.born
	if host != "" {
		x, err := d.m.arranged(ctx, host)
		if err != nil {
			return nil, at, err
		}
		examples, zone = d.examples(x, path), x.zone()
		if t := x.newest(viewNames...); !t.IsZero() {
			at = t
		}
	}
	if examples == "" {
		examples = "    (there is nothing yet: a point shows here as soon as it is made)\n"
	}
	text := "Here are files as they were. To restore, copy them, with cp, rsync or a file manager:\n\n" +
		examples +
		"\nhourly, daily, weekly, monthly: the first complete point of each, so a day as it began" + zone + ".\n" +
		"latest: the newest point of each source. pinned: points that are kept, by name.\n" +
		"incomplete: points that miss something; what that is reads as an error.\n" +
		d.whose() +
		"Nothing here can be changed. What cannot be read is an \"Input/output error\", never\n" +
		"an empty file, and the log of the mount says why.\n"
	return []byte(text), at, nil
}

// examples returns commands about what is shown of a host.
func (d topDir) examples(x *arranged, path string) string {
	in := func(names ...string) string {
		return quote(strings.Join(append([]string{d.m.dir}, names...), "/"))
	}
	base := []string{}
	if path != "" {
		base = append(base, path)
	}
	var b strings.Builder
	if latest := x.views[latestName].list; len(latest) > 0 {
		source := latest[0].Name
		fmt.Fprintf(&b, "    cp -a %s %s\n", in(append(base, latestName, source, ".")...), quote(source+".restored"))
	}
	days := x.views["daily"].list
	if n := len(days); n > 0 {
		last := &days[n-1]
		source := last.Points[0].Source
		fmt.Fprintf(&b, "    ls -l %s\n", in(append(base, "daily", last.Name, source)...))
		for i := n - 2; i >= 0; i-- {
			if days[i].Points[0].Source == source {
				fmt.Fprintf(&b, "    diff -r %s %s\n", in(append(base, "daily", days[i].Name, source)...),
					in(append(base, "daily", last.Name, source)...))
				break
			}
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
	for _, w := range x.views {
		if len(w.list) == 0 || w.list[0].Time.IsZero() {
			continue
		}
		if name := w.list[0].Time.Location().String(); name != "Local" {
			return " (time zone " + name + ")"
		}
		return " (by this machine's clock)"
	}
	return ""
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
