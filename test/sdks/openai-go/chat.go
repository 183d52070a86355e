package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/openai/openai-go/v3"
)

const tinyPNG = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="

func chat(ctx context.Context) error {
	_, err := complete(ctx, openai.ChatCompletionNewParams{Model: chatModel, Messages: userSays("Hello!")})
	return err
}

// complete asks for a whole answer in words and checks it.
func complete(ctx context.Context, params openai.ChatCompletionNewParams) (*openai.ChatCompletion, error) {
	completion, err := client.Chat.Completions.New(ctx, params)
	if err != nil {
		return nil, err
	}
	if len(completion.Choices) != 1 {
		return nil, fmt.Errorf("%d choices", len(completion.Choices))
	}
	choice := completion.Choices[0]
	if choice.Message.Content == "" || choice.Message.Role != "assistant" {
		return nil, fmt.Errorf("no answer of the assistant: %s", choice.RawJSON())
	}
	if choice.FinishReason != "stop" {
		return nil, fmt.Errorf("finish_reason %q", choice.FinishReason)
	}
	return completion, checkUsage(completion.Usage)
}

func stream(ctx context.Context) error {
	const words = "These words arrive one after the other."
	chunks := client.Chat.Completions.NewStreaming(ctx, openai.ChatCompletionNewParams{
		Model:         chatModel,
		Messages:      userSays("Say: " + words),
		StreamOptions: openai.ChatCompletionStreamOptionsParam{IncludeUsage: openai.Bool(true)},
	})
	defer chunks.Close()
	var text strings.Builder
	var last openai.ChatCompletionChunk
	finish := ""
	deltas := 0
	for chunks.Next() {
		last = chunks.Current()
		for _, choice := range last.Choices {
			if choice.Delta.Content != "" {
				deltas++
			}
			text.WriteString(choice.Delta.Content)
			if choice.FinishReason != "" {
				finish = choice.FinishReason
			}
		}
	}
	if err := chunks.Err(); err != nil {
		return err
	}
	if text.String() != words || deltas < 2 {
		return fmt.Errorf("%d deltas made %q", deltas, text.String())
	}
	if finish != "stop" {
		return fmt.Errorf("finish_reason %q", finish)
	}
	if !last.JSON.Usage.Valid() || len(last.Choices) != 0 {
		return fmt.Errorf("the last chunk is not the one of the usage: %s", last.RawJSON())
	}
	return checkUsage(last.Usage)
}

type weatherArguments struct {
	City string `json:"city" jsonschema_description:"The name of a city"`
	Unit string `json:"unit" jsonschema:"enum=celsius,enum=fahrenheit"`
}

type timeArguments struct {
	Zone string `json:"zone" jsonschema_description:"An IANA time zone"`
	Hour *int   `json:"hour" jsonschema:"minimum=0,maximum=23"`
}

// tools goes on until the model has nothing more to call.
func tools(ctx context.Context) error {
	weather, err := schemaOf[weatherArguments]()
	if err != nil {
		return err
	}
	clock, err := schemaOf[timeArguments]()
	if err != nil {
		return err
	}
	params := openai.ChatCompletionNewParams{
		Model:         chatModel,
		Messages:      userSays("How warm is it in Paris, and what time is it there?"),
		StreamOptions: openai.ChatCompletionStreamOptionsParam{IncludeUsage: openai.Bool(true)},
		Tools: []openai.ChatCompletionToolUnionParam{
			openai.ChatCompletionFunctionTool(openai.FunctionDefinitionParam{
				Name: "get_weather", Parameters: weather, Strict: openai.Bool(true),
			}),
			openai.ChatCompletionFunctionTool(openai.FunctionDefinitionParam{
				Name: "get_time", Parameters: clock, Strict: openai.Bool(true),
			}),
		},
	}
	called := map[string]int{}
	for turn := 1; turn <= 3; turn++ {
		choice, err := accumulatedChoice(ctx, params)
		if err != nil {
			return fmt.Errorf("turn %d: %w", turn, err)
		}
		calls := choice.Message.ToolCalls
		if len(calls) == 0 {
			if choice.Message.Content == "" || choice.FinishReason != "stop" {
				return fmt.Errorf("the loop ends with %q and finish_reason %q", choice.Message.Content, choice.FinishReason)
			}
			if turn != 2 || called["get_weather"] != 1 || called["get_time"] != 1 {
				return fmt.Errorf("words in turn %d, after calls of %v", turn, called)
			}
			return nil
		}
		if len(calls) != 2 || choice.FinishReason != "tool_calls" {
			return fmt.Errorf("%d calls in parallel, finish_reason %q", len(calls), choice.FinishReason)
		}
		params.Messages = append(params.Messages, choice.Message.ToParam())
		for _, call := range calls {
			if err := checkCall(call); err != nil {
				return fmt.Errorf("the call %s(%s): %w", call.Function.Name, call.Function.Arguments, err)
			}
			called[call.Function.Name]++
			params.Messages = append(params.Messages, openai.ToolMessage(`{"result":21}`, call.ID))
		}
	}
	return errors.New("still calls tools in turn 3")
}

// accumulatedChoice puts a stream together by the SDK's accumulator.
func accumulatedChoice(ctx context.Context, params openai.ChatCompletionNewParams) (openai.ChatCompletionChoice, error) {
	chunks := client.Chat.Completions.NewStreaming(ctx, params)
	defer chunks.Close()
	acc := openai.ChatCompletionAccumulator{}
	var finished []string
	for chunks.Next() {
		chunk := chunks.Current()
		if !acc.AddChunk(chunk) {
			return openai.ChatCompletionChoice{}, fmt.Errorf("the accumulator refuses %s", chunk.RawJSON())
		}
		if call, ok := acc.JustFinishedToolCall(); ok {
			finished = append(finished, call.ID+call.Name+call.Arguments)
		}
	}
	if err := chunks.Err(); err != nil {
		return openai.ChatCompletionChoice{}, err
	}
	if len(acc.Choices) != 1 {
		return openai.ChatCompletionChoice{}, fmt.Errorf("%d choices", len(acc.Choices))
	}
	var accumulated []string
	for _, call := range acc.Choices[0].Message.ToolCalls {
		accumulated = append(accumulated, call.ID+call.Function.Name+call.Function.Arguments)
	}
	if !slices.Equal(finished, accumulated) {
		return openai.ChatCompletionChoice{}, fmt.Errorf("calls %q were finished, %q accumulated", finished, accumulated)
	}
	return acc.Choices[0], checkUsage(acc.Usage)
}

func checkCall(call openai.ChatCompletionMessageToolCallUnion) error {
	if call.ID == "" || call.Type != "function" {
		return fmt.Errorf("id %q, type %q", call.ID, call.Type)
	}
	switch call.Function.Name {
	case "get_weather":
		var arguments weatherArguments
		if err := unmarshalStrictly(call.Function.Arguments, &arguments); err != nil {
			return err
		}
		if arguments.City == "" || !slices.Contains([]string{"celsius", "fahrenheit"}, arguments.Unit) {
			return errors.New("not according to its schema")
		}
	case "get_time":
		var arguments timeArguments
		if err := unmarshalStrictly(call.Function.Arguments, &arguments); err != nil {
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

func structured(ctx context.Context) error {
	type step struct {
		Explanation string   `json:"explanation"`
		Result      *float64 `json:"result"`
	}
	type solution struct {
		Steps  []step `json:"steps"`
		Answer string `json:"answer"`
		Sure   *bool  `json:"sure"`
		Level  string `json:"level" jsonschema:"enum=easy,enum=hard"`
	}
	schema, err := schemaOf[solution]()
	if err != nil {
		return err
	}
	completion, err := complete(ctx, openai.ChatCompletionNewParams{
		Model:    chatModel,
		Messages: userSays("Solve 8x + 31 = 2."),
		ResponseFormat: openai.ChatCompletionNewParamsResponseFormatUnion{
			OfJSONSchema: &openai.ResponseFormatJSONSchemaParam{
				JSONSchema: openai.ResponseFormatJSONSchemaJSONSchemaParam{
					Name:   "solution",
					Schema: schema,
					Strict: openai.Bool(true),
				},
			},
		},
	})
	if err != nil {
		return err
	}
	content := completion.Choices[0].Message.Content
	var solved solution
	if err := unmarshalStrictly(content, &solved); err != nil {
		return fmt.Errorf("%s: %w", content, err)
	}
	incomplete := func(step step) bool { return step.Explanation == "" || step.Result == nil }
	if solved.Answer == "" || solved.Sure == nil || solved.Steps == nil || slices.ContainsFunc(solved.Steps, incomplete) ||
		!slices.Contains([]string{"easy", "hard"}, solved.Level) {
		return fmt.Errorf("fields are missing: %s", content)
	}
	return nil
}

func vision(ctx context.Context) error {
	_, err := complete(ctx, openai.ChatCompletionNewParams{
		Model: chatModel,
		Messages: []openai.ChatCompletionMessageParamUnion{
			openai.UserMessage([]openai.ChatCompletionContentPartUnionParam{
				openai.TextContentPart("What is in this picture?"),
				openai.ImageContentPart(openai.ChatCompletionContentPartImageImageURLParam{URL: tinyPNG, Detail: "low"}),
			}),
		},
	})
	return err
}

func cancel(ctx context.Context) error {
	const model = "slow-stream"
	before, err := countOf(ctx, model)
	if err != nil {
		return err
	}
	streamCtx, leave := context.WithCancel(ctx)
	defer leave()
	chunks := client.Chat.Completions.NewStreaming(streamCtx, openai.ChatCompletionNewParams{
		Model:    model,
		Messages: userSays("Tell me a story without end."),
	})
	defer chunks.Close()
	for deltas := 0; deltas < 3; {
		if !chunks.Next() {
			return fmt.Errorf("the stream ended after %d deltas: %w", deltas, chunks.Err())
		}
		if chunk := chunks.Current(); len(chunk.Choices) > 0 && chunk.Choices[0].Delta.Content != "" {
			deltas++
		}
	}
	leave()
	for chunks.Next() {
		// What had been read before.
	}
	if !errors.Is(chunks.Err(), context.Canceled) {
		return fmt.Errorf("the stream ended with %w", chunks.Err())
	}
	return expectStopped(ctx, model, before)
}

func longPrompt(ctx context.Context) error {
	const passage = "Съешь же ещё этих мягких французских булок, да выпей чаю. 敏捷的棕色狐狸跳过了懒狗。🦊🐕🎉👩‍👩‍👧‍👦\n"
	prompt := "Answer in one word, without quoting anything.\n" + strings.Repeat(passage, 100*1024/len(passage)+1)
	completion, err := complete(ctx, openai.ChatCompletionNewParams{Model: chatModel, Messages: userSays(prompt)})
	if err != nil {
		return err
	}
	if completion.Usage.PromptTokens < 10_000 {
		return fmt.Errorf("%d prompt tokens", completion.Usage.PromptTokens)
	}
	if strings.ContainsRune(completion.Choices[0].Message.Content, '\uFFFD') {
		return errors.New("a character was cut in the answer")
	}
	return nil
}
