package main

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxConfigErrors bounds how many errors one file is told of: a file that is
// something else altogether has one on every line.
const maxConfigErrors = 10

// decodeYAML fills the struct that into points to from data. It takes strings,
// booleans, lists, maps and structs with yaml tags, and whatever unmarshals
// text, and nothing that it was not asked for. A null leaves a default alone.
//
// It is our own because a user's slip deserves its line, the right word, and
// all slips at once, and yaml.Unmarshal tells an unknown key only in prose.
func decodeYAML(file string, data []byte, into any) error {
	parser := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	switch err := parser.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return fmt.Errorf("%s: %s", file, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	d := yamlDecoder{file: file}
	d.value(doc.Content[0], reflect.ValueOf(into).Elem(), "")
	if err := parser.Decode(new(yaml.Node)); len(d.errs) == 0 && !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: there is more after the end of the first document", file)
	}
	return errors.Join(d.errs[:min(len(d.errs), maxConfigErrors)]...)
}

type yamlDecoder struct {
	file string
	errs []error
}

func (d *yamlDecoder) errorf(n *yaml.Node, format string, args ...any) {
	d.errs = append(d.errs, fmt.Errorf("%s:%d: %s", d.file, n.Line, fmt.Sprintf(format, args...)))
}

// value decodes n into v. Key is what to call it: "sources.app.path", or "" for
// the whole.
func (d *yamlDecoder) value(n *yaml.Node, v reflect.Value, key string) {
	text, isText := v.Addr().Interface().(encoding.TextUnmarshaler)
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "" || n.Style&yaml.TaggedStyle != 0:
		d.errorf(n, "%s: anchors, aliases and tags are not for this file; write the value out", named(key))
	case n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null":
		return
	case isText:
		if d.want(n, yaml.ScalarNode, "a single value", key) {
			if err := text.UnmarshalText([]byte(n.Value)); err != nil {
				d.errorf(n, "%s: %v", key, err)
			}
		}
	case v.Kind() == reflect.Struct:
		d.mapping(n, key, func(k, n *yaml.Node) { d.field(k, n, v, key) })
		if c, ok := v.Addr().Interface().(interface{ check() error }); ok && n.Kind == yaml.MappingNode {
			if err := c.check(); err != nil {
				d.errorf(n, "%s: %v", key, err)
			}
		}
	case v.Kind() == reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		d.mapping(n, key, func(k, n *yaml.Node) { d.entry(k, n, v, key) })
	case v.Kind() == reflect.Slice:
		d.list(n, v, key)
	case v.Kind() == reflect.Bool:
		if d.want(n, yaml.ScalarNode, "true or false", key) {
			if n.ShortTag() != "!!bool" {
				d.errorf(n, "%s wants true or false, not %q", named(key), n.Value)
			}
			v.SetBool(strings.EqualFold(n.Value, "true"))
		}
	case v.Kind() == reflect.String:
		if d.want(n, yaml.ScalarNode, "a single value", key) {
			v.SetString(n.Value)
		}
	default:
		panic("decodeYAML: a field has type " + v.Type().String())
	}
}

// mapping calls entry for each key of n, which is to be a mapping.
func (d *yamlDecoder) mapping(n *yaml.Node, key string, entry func(k, n *yaml.Node)) {
	if !d.want(n, yaml.MappingNode, "keys with values, as in \"name: value\"", key) {
		return
	}
	seen := make(map[string]int)
	for i := 0; i < len(n.Content); i += 2 {
		k := n.Content[i]
		if line, twice := seen[k.Value]; twice {
			d.errorf(k, "key %q stands on line %d already", k.Value, line)
			continue
		}
		seen[k.Value] = k.Line
		entry(k, n.Content[i+1])
	}
}

// field decodes the value n of the key k of the struct v.
func (d *yamlDecoder) field(k, n *yaml.Node, v reflect.Value, key string) {
	var known []string
	for i := range v.NumField() {
		tag := v.Type().Field(i).Tag.Get("yaml")
		if tag == k.Value {
			d.value(n, v.Field(i), below(key, tag))
			return
		}
		known = append(known, tag)
	}
	place := ""
	if key != "" {
		place = " in " + key
	}
	d.errorf(k, "unknown key %q%s%s", k.Value, place, didYouMean(k.Value, known))
}

// entry decodes the entry (k, n) of the map v.
func (d *yamlDecoder) entry(k, n *yaml.Node, v reflect.Value, key string) {
	name, elem := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
	if s, ok := elem.Addr().Interface().(interface{ setDefaults() }); ok {
		s.setDefaults()
	}
	if k.ShortTag() == "!!null" || n.ShortTag() == "!!null" {
		d.errorf(k, "%s: nothing follows its name", below(key, k.Value))
		return
	}
	d.value(k, name, key)
	d.value(n, elem, below(key, k.Value))
	v.SetMapIndex(name, elem)
}

// list decodes the list n into the slice v.
func (d *yamlDecoder) list(n *yaml.Node, v reflect.Value, key string) {
	if !d.want(n, yaml.SequenceNode, "a list, as in \"- value\"", key) {
		return
	}
	for _, n := range n.Content {
		if n.ShortTag() == "!!null" {
			d.errorf(n, "%s: an entry is empty", key)
			continue
		}
		elem := reflect.New(v.Type().Elem()).Elem()
		d.value(n, elem, key)
		v.Set(reflect.Append(v, elem))
	}
}

// want reports whether n is of the kind that is wanted, and says so if not.
func (d *yamlDecoder) want(n *yaml.Node, kind yaml.Kind, words, key string) bool {
	if n.Kind == kind {
		return true
	}
	got := map[yaml.Kind]string{yaml.ScalarNode: fmt.Sprintf("%q", n.Value), yaml.MappingNode: "keys with values", yaml.SequenceNode: "a list"}
	d.errorf(n, "%s wants %s, not %s", named(key), words, got[n.Kind])
	return false
}

func named(key string) string {
	if key == "" {
		return "the file"
	}
	return key
}

func below(key, name string) string {
	if key == "" {
		return name
	}
	return key + "." + name
}
