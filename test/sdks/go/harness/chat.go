package harness

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

const tinyPNG = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="

func (s suite) chat(ctx context.Context) error {
	_, err := s.answer(ctx, "Hello!")
	return err
}

func (s suite) answer(ctx context.Context, prompt string) (Completion, error) {
	completion, err := s.Chat(ctx, ChatModel, prompt)
	if err != nil {
		return completion, err
	}
	return completion, completion.check()
}

func (s suite) stream(ctx context.Context) error {
	const words = "These words arrive one after the other."
	var text strings.Builder
	var last Chunk
	finish := ""
	deltas := 0
	for chunk, err := range s.Stream(ctx, StreamRequest{Model: ChatModel, Prompt: "Say: " + words, IncludeUsage: true}) {
		if err != nil {
			return err
		}
		if chunk.Content != "" {
			deltas++
		}
		text.WriteString(chunk.Content)
		if chunk.Finish != "" {
			finish = chunk.Finish
		}
		last = chunk
	}
	if text.String() != words || deltas < 2 {
		return fmt.Errorf("%d deltas made %q", deltas, text.String())
	}
	if finish != "stop" {
		return fmt.Errorf("finish_reason %q", finish)
	}
	if last.Usage == nil || last.Choices != 0 {
		return fmt.Errorf("the last chunk is not the one of the usage: %+v", last)
	}
	return last.Usage.check()
}

// The tags are those of every library that derives a schema here; one of them knows no bounds, and demo() then gives
// the hour 1. A pointer tells what is missing from what is zero.
type weatherArguments struct {
	City string `json:"city" description:"The name of a city" jsonschema_description:"The name of a city"`
	Unit string `json:"unit" enum:"celsius,fahrenheit" jsonschema:"enum=celsius,enum=fahrenheit"`
}

type timeArguments struct {
	Zone string `json:"zone" description:"An IANA time zone" jsonschema_description:"An IANA time zone"`
	Hour *int   `json:"hour" description:"From 0 to 23" jsonschema:"minimum=0,maximum=23"`
}

// tools goes on until the model has nothing more to call.
func (s suite) tools(ctx context.Context) error {
	conversation, err := s.Converse("How warm is it in Paris, and what time is it there? Use get_weather and get_time.", []Tool{
		{"get_weather", weatherArguments{}},
		{"get_time", timeArguments{}},
	})
	if err != nil {
		return err
	}
	called := map[string]int{}
	for number := 1; number <= 3; number++ {
		turn, err := conversation.Next(ctx)
		if err != nil {
			return fmt.Errorf("turn %d: %w", number, err)
		}
		if err := turn.Usage.check(); err != nil {
			return fmt.Errorf("turn %d: %w", number, err)
		}
		if len(turn.Calls) == 0 {
			if turn.Content == "" || turn.Finish != "stop" {
				return fmt.Errorf("the loop ends with %q and finish_reason %q", turn.Content, turn.Finish)
			}
			if number != 2 || called["get_weather"] != 1 || called["get_time"] != 1 {
				return fmt.Errorf("words in turn %d, after calls of %v", number, called)
			}
			return nil
		}
		if len(turn.Calls) != 2 || turn.Finish != "tool_calls" {
			return fmt.Errorf("%d calls in parallel, finish_reason %q", len(turn.Calls), turn.Finish)
		}
		for _, call := range turn.Calls {
			if err := call.check(); err != nil {
				return fmt.Errorf("the call %s(%s): %w", call.Name, call.Arguments, err)
			}
			called[call.Name]++
			conversation.Answer(call.ID, fmt.Sprintf(`{"asked":%s,"result":21}`, call.Arguments))
		}
	}
	return errors.New("still calls tools in turn 3")
}

func (c Call) check() error {
	if c.ID == "" || c.Type != "function" {
		return fmt.Errorf("id %q, type %q", c.ID, c.Type)
	}
	switch c.Name {
	case "get_weather":
		var arguments weatherArguments
		if err := unmarshalStrictly(c.Arguments, &arguments); err != nil {
			return err
		}
		if arguments.City == "" || !slices.Contains([]string{"celsius", "fahrenheit"}, arguments.Unit) {
			return errors.New("not according to its schema")
		}
	case "get_time":
		var arguments timeArguments
		if err := unmarshalStrictly(c.Arguments, &arguments); err != nil {
			return err
		}
		if arguments.Zone == "" || arguments.Hour == nil || *arguments.Hour < 0 || *arguments.Hour > 23 {
			return errors.New("not according to its schema")
		}
	default:
		return errors.New("an unknown tool")
	}
	return nil
}

func unmarshalStrictly(text string, into any) error {
	decoder := json.NewDecoder(bytes.NewBufferString(text))
	decoder.DisallowUnknownFields()
	return decoder.Decode(into)
}

type step struct {
	Explanation string   `json:"explanation"`
	Result      *float64 `json:"result"`
}

type solution struct {
	Steps  []step `json:"steps"`
	Answer string `json:"answer"`
	Sure   *bool  `json:"sure"`
	Level  string `json:"level" enum:"easy,hard" jsonschema:"enum=easy,enum=hard"`
}

func (s suite) structured(ctx context.Context) error {
	var parsed, solved solution
	completion, err := s.Structured(ctx, "Solve 8x + 31 = 2.", &parsed)
	if err != nil {
		return err
	}
	if err := completion.check(); err != nil {
		return err
	}
	if err := unmarshalStrictly(completion.Content, &solved); err != nil {
		return fmt.Errorf("%s: %w", completion.Content, err)
	}
	for _, each := range []solution{parsed, solved} {
		if err := each.check(); err != nil {
			return fmt.Errorf("%w: %s", err, completion.Content)
		}
	}
	return nil
}

func (s solution) check() error {
	incomplete := func(step step) bool { return step.Explanation == "" || step.Result == nil }
	if s.Answer == "" || s.Sure == nil || s.Steps == nil || slices.ContainsFunc(s.Steps, incomplete) ||
		!slices.Contains([]string{"easy", "hard"}, s.Level) {
		return errors.New("fields are missing")
	}
	return nil
}

func (s suite) vision(ctx context.Context) error {
	completion, err := s.Vision(ctx, "What is in this picture?", tinyPNG)
	if err != nil {
		return err
	}
	return completion.check()
}

func (s suite) cancel(ctx context.Context) error {
	const model = "slow-stream"
	before, err := countOf(ctx, model)
	if err != nil {
		return err
	}
	streamCtx, leave := context.WithCancel(ctx)
	defer leave()
	deltas := 0
	for chunk, err := range s.Stream(streamCtx, StreamRequest{Model: model, Prompt: "Tell me a story without end."}) {
		if err != nil {
			if deltas < 3 || !errors.Is(err, context.Canceled) {
				return fmt.Errorf("the stream ended after %d deltas: %w", deltas, err)
			}
			// Asked within the loop, as what leaves the loop closes the stream, and the context alone should be enough.
			return expectStopped(ctx, model, before)
		}
		if chunk.Content != "" {
			deltas++
		}
		if deltas == 3 {
			// What had been read before still comes.
			leave()
		}
	}
	return fmt.Errorf("the stream ended by itself after %d deltas", deltas)
}

func (s suite) longPrompt(ctx context.Context) error {
	const passage = "Съешь же ещё этих мягких французских булок, да выпей чаю. 敏捷的棕色狐狸跳过了懒狗。🦊🐕🎉👩‍👩‍👧‍👦\n"
	prompt := "Answer in one word, without quoting anything.\n" + strings.Repeat(passage, 100*1024/len(passage)+1)
	completion, err := s.answer(ctx, prompt)
	if err != nil {
		return err
	}
	if completion.Usage.Input < 10_000 {
		return fmt.Errorf("%d prompt tokens", completion.Usage.Input)
	}
	if strings.ContainsRune(completion.Content, '\uFFFD') {
		return errors.New("a character was cut in the answer")
	}
	return nil
}
