package config

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// toJSON makes JSON of YAML. Every value stands in the line that it has in the YAML, so that problems are reported with these.
// Anchors, aliases, merge keys, several documents and custom tags are errors: JSON has nothing like them.
func toJSON(text []byte) ([]byte, error) {
	decoder := yaml.NewDecoder(strings.NewReader(string(text)))
	var document yaml.Node
	if err := decoder.Decode(&document); err != nil {
		return nil, fmt.Errorf("not YAML: %w", err)
	}
	if err := decoder.Decode(new(yaml.Node)); err == nil {
		return nil, errors.New("there are several YAML documents")
	}
	w := &writer{line: 1}
	if err := w.value(document.Content[0]); err != nil {
		return nil, err
	}
	return []byte(w.out.String()), nil
}

// writer writes JSON.
type writer struct {
	out  strings.Builder
	line int // of what is written next
}

// to begins new lines up to that of a node.
func (w *writer) to(line int) {
	for ; w.line < line; w.line++ {
		w.out.WriteByte('\n')
	}
}

func (w *writer) value(n *yaml.Node) error {
	w.to(n.Line)
	if n.Anchor != "" || n.Kind == yaml.AliasNode {
		return fmt.Errorf("line %d: an anchor or alias, which this file cannot have", n.Line)
	}
	switch n.Kind { //nolint:exhaustive // a document holds no other
	case yaml.MappingNode:
		if n.ShortTag() == "!!map" {
			return w.mapping(n)
		}
	case yaml.SequenceNode:
		if n.ShortTag() == "!!seq" {
			return w.sequence(n)
		}
	case yaml.ScalarNode:
		return w.scalar(n)
	}
	return fmt.Errorf("line %d: the tag %s, which this file cannot have", n.Line, n.Tag)
}

func (w *writer) mapping(n *yaml.Node) error {
	w.out.WriteByte('{')
	for i := 0; i+1 < len(n.Content); i += 2 {
		name := n.Content[i]
		if i > 0 {
			w.out.WriteByte(',')
		}
		if name.Kind != yaml.ScalarNode || name.Anchor != "" || name.ShortTag() == "!!merge" {
			return fmt.Errorf("line %d: the name of a member is not a plain text", name.Line)
		}
		w.to(name.Line)
		w.text(name.Value)
		w.out.WriteByte(':')
		if err := w.value(n.Content[i+1]); err != nil {
			return err
		}
	}
	w.out.WriteByte('}')
	return nil
}

func (w *writer) sequence(n *yaml.Node) error {
	w.out.WriteByte('[')
	for i, element := range n.Content {
		if i > 0 {
			w.out.WriteByte(',')
		}
		if err := w.value(element); err != nil {
			return err
		}
	}
	w.out.WriteByte(']')
	return nil
}

func (w *writer) scalar(n *yaml.Node) error {
	switch n.ShortTag() {
	case "!!null":
		w.out.WriteString("null")
	case "!!bool":
		w.out.WriteString(strings.ToLower(n.Value))
	case "!!int":
		i, err := strconv.ParseInt(n.Value, 10, 64)
		if err != nil {
			return fmt.Errorf("line %d: %s is not a whole number in decimal", n.Line, n.Value)
		}
		w.out.WriteString(strconv.FormatInt(i, 10))
	case "!!float":
		return fmt.Errorf("line %d: %s is not a whole number; put quotes around a text", n.Line, n.Value)
	case "!!str", "!!timestamp":
		w.text(n.Value)
	default:
		return fmt.Errorf("line %d: the tag %s, which this file cannot have", n.Line, n.Tag)
	}
	return nil
}

// text writes a JSON string. It has no line break, as JSON escapes them.
func (w *writer) text(s string) {
	w.out.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			w.out.WriteString(`\` + string(r))
		case r < ' ':
			fmt.Fprintf(&w.out, `\u%04x`, r)
		default:
			w.out.WriteRune(r)
		}
	}
	w.out.WriteByte('"')
}
