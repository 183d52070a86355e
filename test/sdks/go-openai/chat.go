package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/sashabaranov/go-openai"
	"github.com/sashabaranov/go-openai/jsonschema"
)

const tinyPNG = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="

func chat(ctx context.Context) error {
	_, err := complete(ctx, openai.ChatCompletionRequest{Model: chatModel, Messages: userSays("Hello!")})
	return err
}

// complete asks for a whole answer in words and checks it.
func complete(ctx context.Context, request openai.ChatCompletionRequest) (openai.ChatCompletionResponse, error) {
	completion, err := client.CreateChatCompletion(ctx, request)
	if err != nil {
		return completion, err
	}
	if len(completion.Choices) != 1 {
		return completion, fmt.Errorf("%d choices", len(completion.Choices))
	}
	choice := completion.Choices[0]
	if choice.Message.Content == "" || choice.Message.Role != openai.ChatMessageRoleAssistant {
		return completion, fmt.Errorf("no answer of the assistant: %+v", choice.Message)
	}
	if choice.FinishReason != openai.FinishReasonStop {
		return completion, fmt.Errorf("finish_reason %q", choice.FinishReason)
	}
	return completion, checkUsage(completion.Usage)
}

func stream(ctx context.Context) error {
	const words = "These words arrive one after the other."
	chunks, err := client.CreateChatCompletionStream(ctx, openai.ChatCompletionRequest{
		Model:         chatModel,
		Messages:      userSays("Say: " + words),
		StreamOptions: &openai.StreamOptions{IncludeUsage: true},
	})
	if err != nil {
		return err
	}
	defer chunks.Close()
	var text strings.Builder
	var last openai.ChatCompletionStreamResponse
	var finish openai.FinishReason
	deltas := 0
	for {
		chunk, err := chunks.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		last = chunk
		for _, choice := range chunk.Choices {
			if choice.Delta.Content != "" {
				deltas++
			}
			text.WriteString(choice.Delta.Content)
			if choice.FinishReason != "" {
				finish = choice.FinishReason
			}
		}
	}
	if text.String() != words || deltas < 2 {
		return fmt.Errorf("%d deltas made %q", deltas, text.String())
	}
	if finish != openai.FinishReasonStop {
		return fmt.Errorf("finish_reason %q", finish)
	}
	if last.Usage == nil || len(last.Choices) != 0 {
		return fmt.Errorf("the last chunk is not the one of the usage: %+v", last)
	}
	return checkUsage(*last.Usage)
}

type weatherArguments struct {
	City string `json:"city" description:"The name of a city"`
	Unit string `json:"unit" enum:"celsius,fahrenheit"`
}

type timeArguments struct {
	Zone string `json:"zone" description:"An IANA time zone"`
	Hour int    `json:"hour" description:"From 0 to 23"`
}

// tools goes on until the model has nothing more to call.
func tools(ctx context.Context) error {
	schemas := map[string]*jsonschema.Definition{}
	request := openai.ChatCompletionRequest{
		Model:         chatModel,
		Messages:      userSays("How warm is it in Paris, and what time is it there?"),
		StreamOptions: &openai.StreamOptions{IncludeUsage: true},
	}
	for _, tool := range []struct {
		name      string
		arguments any
	}{{"get_weather", weatherArguments{}}, {"get_time", timeArguments{}}} {
		schema, err := jsonschema.GenerateSchemaForType(tool.arguments)
		if err != nil {
			return err
		}
		schemas[tool.name] = schema
		function := openai.FunctionDefinition{Name: tool.name, Strict: true, Parameters: schema}
		request.Tools = append(request.Tools, openai.Tool{Type: openai.ToolTypeFunction, Function: &function})
	}
	called := map[string]int{}
	for turn := 1; turn <= 3; turn++ {
		message, finish, err := streamedMessage(ctx, request)
		if err != nil {
			return fmt.Errorf("turn %d: %w", turn, err)
		}
		if len(message.ToolCalls) == 0 {
			if message.Content == "" || finish != openai.FinishReasonStop {
				return fmt.Errorf("the loop ends with %q and finish_reason %q", message.Content, finish)
			}
			if turn != 2 || called["get_weather"] != 1 || called["get_time"] != 1 {
				return fmt.Errorf("words in turn %d, after calls of %v", turn, called)
			}
			return nil
		}
		if len(message.ToolCalls) != 2 || finish != openai.FinishReasonToolCalls {
			return fmt.Errorf("%d calls in parallel, finish_reason %q", len(message.ToolCalls), finish)
		}
		request.Messages = append(request.Messages, message)
		for _, call := range message.ToolCalls {
			result, err := resultOf(call, schemas)
			if err != nil {
				return err
			}
			called[call.Function.Name]++
			request.Messages = append(request.Messages, openai.ChatCompletionMessage{
				Role:       openai.ChatMessageRoleTool,
				ToolCallID: call.ID,
				Content:    result,
			})
		}
	}
	return errors.New("still calls tools in turn 3")
}

func resultOf(call openai.ToolCall, schemas map[string]*jsonschema.Definition) (string, error) {
	schema, ok := schemas[call.Function.Name]
	if !ok || call.ID == "" || call.Type != openai.ToolTypeFunction {
		return "", fmt.Errorf("an odd call: %+v", call)
	}
	var arguments map[string]any
	if err := schema.Unmarshal(call.Function.Arguments, &arguments); err != nil {
		return "", fmt.Errorf("the arguments %s of %s: %w", call.Function.Arguments, call.Function.Name, err)
	}
	if len(arguments) != len(schema.Properties) {
		return "", fmt.Errorf("the arguments %s of %s are too many", call.Function.Arguments, call.Function.Name)
	}
	result, err := json.Marshal(map[string]any{"asked": arguments, "result": 21})
	return string(result), err
}

// streamedMessage puts together by hand what the SDK leaves in pieces.
func streamedMessage(
	ctx context.Context,
	request openai.ChatCompletionRequest,
) (message openai.ChatCompletionMessage, finish openai.FinishReason, err error) {
	message.Role = openai.ChatMessageRoleAssistant
	chunks, err := client.CreateChatCompletionStream(ctx, request)
	if err != nil {
		return message, finish, err
	}
	defer chunks.Close()
	for {
		chunk, err := chunks.Recv()
		if errors.Is(err, io.EOF) {
			return message, finish, nil
		}
		if err != nil {
			return message, finish, err
		}
		for _, choice := range chunk.Choices {
			message.Content += choice.Delta.Content
			if choice.FinishReason != "" {
				finish = choice.FinishReason
			}
			for _, delta := range choice.Delta.ToolCalls {
				if delta.Index == nil || *delta.Index > len(message.ToolCalls) {
					return message, finish, fmt.Errorf("a delta of a call without its place: %+v", delta)
				}
				if *delta.Index == len(message.ToolCalls) {
					message.ToolCalls = append(message.ToolCalls, openai.ToolCall{ID: delta.ID, Type: delta.Type})
				}
				call := &message.ToolCalls[*delta.Index]
				call.Function.Name += delta.Function.Name
				call.Function.Arguments += delta.Function.Arguments
			}
		}
	}
}

func structured(ctx context.Context) error {
	type step struct {
		Explanation string  `json:"explanation"`
		Result      float64 `json:"result"`
	}
	type solution struct {
		Steps  []step `json:"steps"`
		Answer string `json:"answer"`
		Sure   bool   `json:"sure"`
		Level  string `json:"level" enum:"easy,hard"`
	}
	schema, err := jsonschema.GenerateSchemaForType(solution{})
	if err != nil {
		return err
	}
	completion, err := complete(ctx, openai.ChatCompletionRequest{
		Model:    chatModel,
		Messages: userSays("Solve 8x + 31 = 2."),
		ResponseFormat: &openai.ChatCompletionResponseFormat{
			Type: openai.ChatCompletionResponseFormatTypeJSONSchema,
			JSONSchema: &openai.ChatCompletionResponseFormatJSONSchema{
				Name:   "solution",
				Schema: schema,
				Strict: true,
			},
		},
	})
	if err != nil {
		return err
	}
	content := completion.Choices[0].Message.Content
	// Unmarshal checks against the schema, too.
	var solved solution
	if err := schema.Unmarshal(content, &solved); err != nil {
		return fmt.Errorf("%s: %w", content, err)
	}
	if solved.Answer == "" || (solved.Level != "easy" && solved.Level != "hard") {
		return fmt.Errorf("fields are missing: %s", content)
	}
	return nil
}

func vision(ctx context.Context) error {
	_, err := complete(ctx, openai.ChatCompletionRequest{
		Model: chatModel,
		Messages: []openai.ChatCompletionMessage{{
			Role: openai.ChatMessageRoleUser,
			MultiContent: []openai.ChatMessagePart{
				{Type: openai.ChatMessagePartTypeText, Text: "What is in this picture?"},
				{Type: openai.ChatMessagePartTypeImageURL, ImageURL: &openai.ChatMessageImageURL{
					URL:    tinyPNG,
					Detail: openai.ImageURLDetailLow,
				}},
			},
		}},
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
	chunks, err := client.CreateChatCompletionStream(streamCtx, openai.ChatCompletionRequest{
		Model:    model,
		Messages: userSays("Tell me a story without end."),
	})
	if err != nil {
		return err
	}
	defer chunks.Close()
	for deltas := 0; deltas < 3; {
		chunk, err := chunks.Recv()
		if err != nil {
			return err
		}
		if len(chunk.Choices) > 0 && chunk.Choices[0].Delta.Content != "" {
			deltas++
		}
	}
	leave()
	for {
		if _, err = chunks.Recv(); err != nil {
			break
		}
	}
	if !errors.Is(err, context.Canceled) {
		return fmt.Errorf("the stream ended with %w", err)
	}
	return expectStopped(ctx, model, before)
}

func longPrompt(ctx context.Context) error {
	const passage = "Съешь же ещё этих мягких французских булок, да выпей чаю. 敏捷的棕色狐狸跳过了懒狗。🦊🐕🎉👩‍👩‍👧‍👦\n"
	prompt := "Answer in one word, without quoting anything.\n" + strings.Repeat(passage, 100*1024/len(passage)+1)
	completion, err := complete(ctx, openai.ChatCompletionRequest{Model: chatModel, Messages: userSays(prompt)})
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
