import com.fasterxml.jackson.annotation.JsonClassDescription;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.openai.client.OpenAIClient;
import com.openai.client.okhttp.OpenAIOkHttpClient;
import com.openai.core.JsonValue;
import com.openai.core.MultipartField;
import com.openai.core.http.HttpResponse;
import com.openai.core.http.StreamResponse;
import com.openai.errors.BadRequestException;
import com.openai.errors.InternalServerException;
import com.openai.errors.NotFoundException;
import com.openai.errors.OpenAIServiceException;
import com.openai.errors.RateLimitException;
import com.openai.errors.SseException;
import com.openai.errors.UnauthorizedException;
import com.openai.helpers.ChatCompletionAccumulator;
import com.openai.helpers.ResponseAccumulator;
import com.openai.models.chat.completions.ChatCompletion;
import com.openai.models.chat.completions.ChatCompletionChunk;
import com.openai.models.chat.completions.ChatCompletionContentPart;
import com.openai.models.chat.completions.ChatCompletionContentPartImage;
import com.openai.models.chat.completions.ChatCompletionContentPartText;
import com.openai.models.chat.completions.ChatCompletionCreateParams;
import com.openai.models.chat.completions.ChatCompletionMessageFunctionToolCall;
import com.openai.models.chat.completions.ChatCompletionMessageToolCall;
import com.openai.models.chat.completions.ChatCompletionStreamOptions;
import com.openai.models.chat.completions.ChatCompletionToolMessageParam;
import com.openai.models.completions.CompletionUsage;
import com.openai.models.embeddings.CreateEmbeddingResponse;
import com.openai.models.embeddings.Embedding;
import com.openai.models.embeddings.EmbeddingCreateParams;
import com.openai.models.files.FileCreateParams;
import com.openai.models.files.FileObject;
import com.openai.models.files.FilePurpose;
import com.openai.models.models.Model;
import com.openai.models.responses.Response;
import com.openai.models.responses.ResponseCreateParams;
import com.openai.models.responses.ResponseOutputText;
import com.openai.models.responses.ResponseStatus;
import com.openai.models.responses.ResponseStreamEvent;
import com.openai.models.responses.ResponseUsage;
import java.io.ByteArrayInputStream;
import java.io.InputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.stream.Collectors;
import java.util.stream.LongStream;

/** The scenarios of ../SCENARIOS.md with the official SDK for Java. */
public final class Suite {
    private static final String MODEL = "gpt-4o-mini";
    private static final String EMBEDDING_MODEL = "text-embedding-3-small";
    private static final int DEADLINE_SECONDS = 30;
    private static final int SDK_RETRIES = 2;
    private static final String RED_PIXEL = "data:image/png;base64,"
            + "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==";

    private static final OpenAIClient strict =
            OpenAIOkHttpClient.builder().fromEnv().responseValidation(true).build();

    /** Recorded responses of OpenAI lack a count that the SDK's newest types require. */
    private static final OpenAIClient lenient = OpenAIOkHttpClient.fromEnv();

    @FunctionalInterface
    private interface Scenario {
        void run() throws Exception;
    }

    private static Map<String, Scenario> scenarios() {
        Map<String, Scenario> scenarios = new LinkedHashMap<>();
        scenarios.put("models", Suite::models);
        scenarios.put("chat", Suite::chat);
        scenarios.put("stream", Suite::stream);
        scenarios.put("tools", Suite::tools);
        scenarios.put("structured", Suite::structured);
        scenarios.put("embeddings", Suite::embeddings);
        scenarios.put("responses", Suite::responses);
        scenarios.put("responses-stream", Suite::responsesStream);
        scenarios.put("vision", Suite::vision);
        scenarios.put("files", Suite::files);
        scenarios.put("error-400", Suite::error400);
        scenarios.put("error-401", Suite::error401);
        scenarios.put("error-404", Suite::error404);
        scenarios.put("error-429", Suite::error429);
        scenarios.put("error-500", Suite::error500);
        scenarios.put("error-mid-stream", Suite::errorMidStream);
        scenarios.put("cancel", Suite::cancel);
        scenarios.put("long-prompt", Suite::longPrompt);
        return scenarios;
    }

    private static void models() {
        List<Model> listed = strict.models().list().autoPager().stream().toList();
        check(listed.stream().anyMatch(model -> model.id().equals(MODEL)), "not among " + listed.size() + " models");
        for (Model model : listed) {
            boolean whole = !model.id().isEmpty()
                    && model._object_().equals(JsonValue.from("model"))
                    && model.created() >= 0;
            check(whole, "not a model: " + model);
        }
        equal(strict.models().retrieve(MODEL).id(), MODEL);
        NotFoundException error = failure(NotFoundException.class, () -> strict.models().retrieve("no-such-model"));
        equal(error.code(), Optional.of("model_not_found"));
    }

    private static void chat() {
        ChatCompletion completion = strict.chat().completions().create(chatWith(MODEL, "Say hello").build());
        equal(completion.choices().size(), 1);
        ChatCompletion.Choice choice = completion.choices().get(0);
        check(!choice.message().content().orElse("").isEmpty(), "no content");
        equal(choice.finishReason(), ChatCompletion.Choice.FinishReason.STOP);
        checkUsage(completion.usage().orElseThrow());
    }

    private static void stream() {
        ChatCompletionCreateParams params = chatWith(MODEL, "Say one two three")
                .streamOptions(ChatCompletionStreamOptions.builder().includeUsage(true).build())
                .build();
        List<ChatCompletionChunk> chunks;
        try (StreamResponse<ChatCompletionChunk> events = strict.chat().completions().createStreaming(params)) {
            chunks = events.stream().toList();
        }
        String text = chunks.stream().map(Suite::textOf).collect(Collectors.joining());
        List<ChatCompletionChunk.Choice.FinishReason> reasons = chunks.stream()
                .flatMap(chunk -> chunk.choices().stream())
                .flatMap(choice -> choice.finishReason().stream())
                .toList();
        check(!text.isEmpty(), "the deltas make no text");
        equal(reasons, List.of(ChatCompletionChunk.Choice.FinishReason.STOP));
        ChatCompletionChunk last = chunks.get(chunks.size() - 1);
        check(last.choices().isEmpty(), "the last chunk has choices");
        checkUsage(last.usage().orElseThrow());
        check(chunks.stream().filter(chunk -> chunk.usage().isPresent()).count() == 1, "usage before the last chunk");
        equal(chunks.stream().map(ChatCompletionChunk::id).distinct().count(), 1L);
    }

    public enum Unit {
        CELSIUS,
        FAHRENHEIT
    }

    @JsonClassDescription("The weather of a city")
    public static class GetWeather {
        public String city;
        public Unit unit;
    }

    @JsonClassDescription("Flights to a city")
    public static class FindFlights {
        public String destination;
        public int passengers;
        public boolean direct;
    }

    private static void tools() {
        ChatCompletionCreateParams.Builder params = chatWith(MODEL, "Should I fly to Lisbon this week? Use GetWeather and FindFlights.")
                .addTool(GetWeather.class)
                .addTool(FindFlights.class);
        List<Set<String>> called = new ArrayList<>();
        for (int round = 0; round < 5; round++) {
            ChatCompletion.Choice choice = streamed(params.build()).choices().get(0);
            List<ChatCompletionMessageToolCall> calls = choice.message().toolCalls().orElse(List.of());
            if (calls.isEmpty()) {
                equal(choice.finishReason(), ChatCompletion.Choice.FinishReason.STOP);
                check(!choice.message().content().orElse("").isEmpty(), "no words at the end");
                check(!called.isEmpty(), "no tool was called");
                equal(called.get(0), Set.of("GetWeather", "FindFlights"));
                return;
            }
            equal(choice.finishReason(), ChatCompletion.Choice.FinishReason.TOOL_CALLS);
            params.addMessage(choice.message());
            Set<String> ids = new HashSet<>();
            Set<String> names = new HashSet<>();
            for (ChatCompletionMessageToolCall toolCall : calls) {
                ChatCompletionMessageFunctionToolCall call = toolCall.asFunction();
                ids.add(call.id());
                names.add(call.function().name());
                params.addMessage(ChatCompletionToolMessageParam.builder()
                        .toolCallId(call.id())
                        .contentAsJson(answerTo(call.function()))
                        .build());
            }
            equal(ids.size(), calls.size());
            called.add(names);
        }
        throw new AssertionError("the loop did not end with words");
    }

    private static ChatCompletion streamed(ChatCompletionCreateParams params) {
        ChatCompletionAccumulator accumulator = ChatCompletionAccumulator.create();
        try (StreamResponse<ChatCompletionChunk> events = strict.chat().completions().createStreaming(params)) {
            events.stream().forEach(accumulator::accumulate);
        }
        return accumulator.chatCompletion();
    }

    private static Map<String, String> answerTo(ChatCompletionMessageFunctionToolCall.Function function) {
        switch (function.name()) {
            case "GetWeather" -> {
                GetWeather weather = function.arguments(GetWeather.class);
                check(weather.city != null && weather.unit != null, "arguments " + function.arguments());
                return Map.of("forecast", "sunny");
            }
            case "FindFlights" -> {
                FindFlights flights = function.arguments(FindFlights.class);
                check(flights.destination != null, "arguments " + function.arguments());
                return Map.of("flight", "TP 1");
            }
            default -> throw new AssertionError("no such tool: " + function.name());
        }
    }

    public enum Difficulty {
        EASY,
        HARD
    }

    public static class Ingredient {
        public String name;
        public double grams;
    }

    public static class Recipe {
        public String title;
        public Difficulty difficulty;
        public boolean vegan;
        public List<Ingredient> ingredients;
    }

    private static void structured() {
        Recipe recipe = strict.chat().completions()
                .create(chatWith(MODEL, "A recipe for bread").responseFormat(Recipe.class).build())
                .choices()
                .get(0)
                .message()
                .content()
                .orElseThrow();
        check(recipe.title != null && recipe.difficulty != null && recipe.ingredients != null, "a field is missing");
        check(recipe.ingredients.stream().allMatch(ingredient -> ingredient.name != null), "a name is missing");
    }

    private static void embeddings() {
        EmbeddingCreateParams.Builder params = EmbeddingCreateParams.builder().model(EMBEDDING_MODEL);
        CreateEmbeddingResponse answer = strict.embeddings()
                .create(params.inputOfArrayOfStrings(List.of("The first text", "Второй текст 🌍")).build());
        equal(answer.data().stream().map(Embedding::index).toList(), List.of(0L, 1L));
        check(answer.usage().promptTokens() > 0, "no usage");
        List<Float> first = answer.data().get(0).embedding();
        List<Float> second = answer.data().get(1).embedding();
        params.input("The first text");
        List<Float> again = strict.embeddings().create(params.build()).data().get(0).embedding();
        List<Float> few = strict.embeddings().create(params.dimensions(256).build()).data().get(0).embedding();
        checkUnitVector(first, 1536);
        checkUnitVector(second, 1536);
        checkUnitVector(few, 256);
        check(!first.equals(second), "two texts have one vector");
        check(first.equals(again), "the same text has another vector");
    }

    private static void responses() {
        Response response = lenient.responses()
                .create(ResponseCreateParams.builder().model(MODEL).input("Say hello").build());
        check(!textOf(response).isEmpty(), "no output text");
        equal(response.status(), Optional.of(ResponseStatus.COMPLETED));
        ResponseUsage usage = response.usage().orElseThrow();
        check(usage.inputTokens() > 0 && usage.outputTokens() > 0, "usage " + usage);
        equal(usage.totalTokens(), usage.inputTokens() + usage.outputTokens());
        Response following = lenient.responses()
                .create(ResponseCreateParams.builder()
                        .model(MODEL)
                        .input("And once more")
                        .previousResponseId(response.id())
                        .build());
        check(!textOf(following).isEmpty(), "no output text of the follow-up");
        equal(following.status(), Optional.of(ResponseStatus.COMPLETED));
        equal(following.previousResponseId(), Optional.of(response.id()));
        check(!following.id().equals(response.id()), "the follow-up has the id of the first");
    }

    private static void responsesStream() {
        ResponseCreateParams params =
                ResponseCreateParams.builder().model(MODEL).input("Say one two three").build();
        ResponseAccumulator accumulator = ResponseAccumulator.create();
        List<ResponseStreamEvent> events;
        try (StreamResponse<ResponseStreamEvent> stream = lenient.responses().createStreaming(params)) {
            events = stream.stream().peek(accumulator::accumulate).toList();
        }
        check(events.get(0).isCreated(), "the first event is " + events.get(0));
        check(events.get(events.size() - 1).isCompleted(), "the last event is " + events.get(events.size() - 1));
        List<Long> numbers = events.stream().map(Suite::sequenceNumberOf).toList();
        equal(numbers, LongStream.range(0, events.size()).boxed().toList());
        String text = events.stream()
                .flatMap(event -> event.outputTextDelta().stream())
                .map(delta -> delta.delta())
                .collect(Collectors.joining());
        check(!text.isEmpty(), "the deltas make no text");
        equal(text, textOf(accumulator.response()));
    }

    private static void vision() {
        ChatCompletionContentPart question = ChatCompletionContentPart.ofText(
                ChatCompletionContentPartText.builder().text("Which colour is this?").build());
        ChatCompletionContentPartImage.ImageUrl pixel = ChatCompletionContentPartImage.ImageUrl.builder()
                .url(RED_PIXEL)
                .detail(ChatCompletionContentPartImage.ImageUrl.Detail.LOW)
                .build();
        ChatCompletionContentPart picture = ChatCompletionContentPart.ofImageUrl(
                ChatCompletionContentPartImage.builder().imageUrl(pixel).build());
        ChatCompletion completion = strict.chat().completions()
                .create(ChatCompletionCreateParams.builder()
                        .model(MODEL)
                        .addUserMessageOfArrayOfContentParts(List.of(question, picture))
                        .build());
        check(!completion.choices().get(0).message().content().orElse("").isEmpty(), "no answer");
    }

    private static void files() throws Exception {
        String line = "{\"custom_id\":\"привет 🌍\",\"method\":\"POST\",\"url\":\"/v1/chat/completions\","
                + "\"body\":{\"model\":\"gpt-4o-mini\"}}\n";
        byte[] content = upTo100Kilobytes(line).getBytes(StandardCharsets.UTF_8);
        FileObject uploaded = strict.files()
                .create(FileCreateParams.builder()
                        .file(MultipartField.<InputStream>builder()
                                .value(new ByteArrayInputStream(content))
                                .filename("requests.jsonl")
                                .build())
                        .purpose(FilePurpose.BATCH)
                        .build());
        equal(uploaded.bytes(), (long) content.length);
        equal(uploaded.filename(), "requests.jsonl");
        equal(uploaded.purpose(), FileObject.Purpose.BATCH);
        boolean listed = strict.files().list().autoPager().stream().anyMatch(file -> file.id().equals(uploaded.id()));
        check(listed, "the file is not in the list");
        equal(strict.files().retrieve(uploaded.id()).bytes(), (long) content.length);
        try (HttpResponse download = strict.files().content(uploaded.id())) {
            check(Arrays.equals(download.body().readAllBytes(), content), "other bytes came back");
        }
        check(strict.files().delete(uploaded.id()).deleted(), "not deleted");
        failure(NotFoundException.class, () -> strict.files().retrieve(uploaded.id()));
    }

    private static void error400() {
        ChatCompletionCreateParams params = chatWith("fault-400", "Hello").temperature(1.0).build();
        BadRequestException error =
                failure(BadRequestException.class, () -> strict.chat().completions().create(params));
        check(error.getMessage().contains("temperature"), "message " + error.getMessage());
        equal(error.code(), Optional.of("invalid_value"));
        equal(error.param(), Optional.of("temperature"));
        equal(error.type(), Optional.of("invalid_request_error"));
    }

    private static void error401() {
        OpenAIClient stranger = strict.withOptions(options -> options.apiKey("sk-wrong"));
        UnauthorizedException error = failure(UnauthorizedException.class, () -> stranger.chat()
                .completions()
                .create(chatWith(MODEL, "Hello").build()));
        equal(error.code(), Optional.of("invalid_api_key"));
    }

    private static void error404() {
        NotFoundException error = failure(NotFoundException.class, () -> strict.chat()
                .completions()
                .create(chatWith("no-such-model", "Hello").build()));
        equal(error.code(), Optional.of("model_not_found"));
    }

    private static void error429() throws Exception {
        equal(callsUntil("fault-429", RateLimitException.class), 1 + SDK_RETRIES);
    }

    private static void error500() throws Exception {
        equal(callsUntil("fault-500", InternalServerException.class), 1 + SDK_RETRIES);
    }

    private static void errorMidStream() {
        ChatCompletionCreateParams params = chatWith("fault-mid-stream", "Hello").build();
        List<ChatCompletionChunk> chunks = new ArrayList<>();
        SseException error = failure(SseException.class, () -> {
            try (StreamResponse<ChatCompletionChunk> events = strict.chat().completions().createStreaming(params)) {
                events.stream().forEach(chunks::add);
            }
        });
        check(!error.getMessage().isEmpty(), "the error has no message");
        equal(chunks.stream().map(Suite::textOf).collect(Collectors.joining()).trim(), "one two");
        boolean finished = chunks.stream()
                .flatMap(chunk -> chunk.choices().stream())
                .anyMatch(choice -> choice.finishReason().isPresent());
        check(!finished, "the stream has a finish reason");
    }

    private static void cancel() throws Exception {
        int before = counted("slow-stream", "cancelled");
        ChatCompletionCreateParams params = chatWith("slow-stream", "Hello").build();
        try (StreamResponse<ChatCompletionChunk> events = strict.chat().completions().createStreaming(params)) {
            long deltas = events.stream().filter(chunk -> !textOf(chunk).isEmpty()).limit(3).count();
            equal(deltas, 3L);
        }
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(5);
        while (counted("slow-stream", "cancelled") == before) {
            check(System.nanoTime() < deadline, "not cancelled within 5 s");
            Thread.sleep(50);
        }
    }

    private static void longPrompt() {
        String line = "Съешь же ещё этих мягких французских булок. 敏捷的棕色狐狸跳过了懒狗。 🦊🌍👩‍👩‍👧‍👦\n";
        ChatCompletion completion = strict.chat().completions()
                .create(chatWith(MODEL, upTo100Kilobytes(line)).addUserMessage("Say nothing").build());
        check(!completion.choices().get(0).message().content().orElse("").isEmpty(), "no answer");
        long promptTokens = completion.usage().orElseThrow().promptTokens();
        check(promptTokens >= 10_000, promptTokens + " prompt tokens");
    }

    private static ChatCompletionCreateParams.Builder chatWith(String model, String content) {
        return ChatCompletionCreateParams.builder().model(model).addUserMessage(content);
    }

    private static String textOf(ChatCompletionChunk chunk) {
        return chunk.choices().stream()
                .flatMap(choice -> choice.delta().content().stream())
                .collect(Collectors.joining());
    }

    private static String textOf(Response response) {
        return response.output().stream()
                .flatMap(item -> item.message().stream())
                .flatMap(message -> message.content().stream())
                .flatMap(content -> content.outputText().stream())
                .map(ResponseOutputText::text)
                .collect(Collectors.joining());
    }

    /** The union of the events has no accessor for it. */
    private static long sequenceNumberOf(ResponseStreamEvent event) {
        return event._json().orElseThrow().convert(JsonNode.class).get("sequence_number").longValue();
    }

    private static String upTo100Kilobytes(String line) {
        int bytes = line.getBytes(StandardCharsets.UTF_8).length;
        return line.repeat((100 * 1024 + bytes - 1) / bytes);
    }

    /** How often the upstream is asked before the SDK gives up. */
    private static int callsUntil(String model, Class<? extends OpenAIServiceException> kind) throws Exception {
        int before = counted(model, "calls");
        failure(kind, () -> strict.chat().completions().create(chatWith(model, "Hello").build()));
        return counted(model, "calls") - before;
    }

    private static int counted(String model, String what) throws Exception {
        HttpRequest request = HttpRequest.newBuilder(URI.create(System.getenv("MEGALLM_COUNTS_URL"))).build();
        String body = HttpClient.newHttpClient().send(request, BodyHandlers.ofString()).body();
        return new ObjectMapper().readTree(body).get(model).get(what).asInt();
    }

    private static void check(boolean condition, String reason) {
        if (!condition) throw new AssertionError(reason);
    }

    private static void equal(Object actual, Object expected) {
        check(actual.equals(expected), actual + ", not " + expected);
    }

    private static void checkUsage(CompletionUsage usage) {
        check(usage.promptTokens() > 0 && usage.completionTokens() > 0, "usage " + usage);
        equal(usage.totalTokens(), usage.promptTokens() + usage.completionTokens());
    }

    private static void checkUnitVector(List<Float> vector, int dimension) {
        equal(vector.size(), dimension);
        double length = Math.sqrt(vector.stream().mapToDouble(number -> (double) number * number).sum());
        check(Math.abs(length - 1) < 1e-3, "length " + length);
    }

    private static <E extends Throwable> E failure(Class<E> kind, Runnable run) {
        try {
            run.run();
        } catch (Throwable error) {
            if (kind.isInstance(error)) return kind.cast(error);
            throw error;
        }
        throw new AssertionError("no " + kind.getSimpleName());
    }

    /** Why it failed, on one line. A scenario that hangs is left behind in its thread. */
    private static Optional<String> failureOf(Scenario scenario) throws InterruptedException {
        FutureTask<Void> task = new FutureTask<>(() -> {
            scenario.run();
            return null;
        });
        Thread thread = new Thread(task);
        thread.setDaemon(true);
        thread.start();
        try {
            task.get(DEADLINE_SECONDS, TimeUnit.SECONDS);
            return Optional.empty();
        } catch (TimeoutException hung) {
            return Optional.of("hung for " + DEADLINE_SECONDS + " s");
        } catch (ExecutionException failed) {
            Throwable error = failed.getCause();
            String place = Arrays.stream(error.getStackTrace())
                    .filter(frame -> frame.getClassName().equals(Suite.class.getName()))
                    .filter(frame -> !Set.of("check", "equal", "failure").contains(frame.getMethodName()))
                    .findFirst()
                    .map(frame -> "Suite.java:" + frame.getLineNumber())
                    .orElse("inside the SDK");
            String reason = error.getClass().getSimpleName() + ": " + error.getMessage() + " (" + place + ")";
            return Optional.of(reason.replaceAll("\\s+", " "));
        }
    }

    public static void main(String[] arguments) throws InterruptedException {
        boolean failed = false;
        for (Map.Entry<String, Scenario> entry : scenarios().entrySet()) {
            Optional<String> failure = failureOf(entry.getValue());
            failed |= failure.isPresent();
            System.out.println("SCENARIO " + entry.getKey() + failure.map(reason -> " FAILED " + reason).orElse(" ok"));
        }
        System.exit(failed ? 1 : 0);
    }
}
