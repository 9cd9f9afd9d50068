// Reads manifests as kubectl does, for the tests that hold stepmemo's reader against it: one JSON string (a file's
// content) a line on standard input, one line {"objects": […]} or {"error": "…"} a line on standard output.
package main

import (
	"bufio"
	"encoding/json"
	"os"
	"strings"

	"k8s.io/cli-runtime/pkg/resource"
)

type answer struct {
	Objects []json.RawMessage `json:"objects"`
	Error   string            `json:"error,omitempty"`
}

func main() {
	in := bufio.NewReaderSize(os.Stdin, 1<<20)
	out := bufio.NewWriter(os.Stdout)
	encoder := json.NewEncoder(out)
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return
		}
		var text string
		if err := json.Unmarshal(line, &text); err != nil {
			panic(err)
		}
		if err := encoder.Encode(read(text)); err != nil {
			panic(err)
		}
		out.Flush()
	}
}

func read(text string) answer {
	infos, err := resource.NewLocalBuilder().Unstructured().Stream(strings.NewReader(text), "stdin").Flatten().Do().Infos()
	if err != nil {
		return answer{Error: err.Error()}
	}
	objects := []json.RawMessage{}
	for _, info := range infos {
		object, err := json.Marshal(info.Object)
		if err != nil {
			return answer{Error: err.Error()}
		}
		objects = append(objects, object)
	}
	return answer{Objects: objects}
}
