import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.Arrays;

/** Sends bodies with Java's own client and prints what it was told of each. */
public class Client {
    public static void main(String[] args) throws Exception {
        HttpClient client = HttpClient.newHttpClient();
        for (int at = 0; at + 6 <= args.length; at += 6) {
            byte[] head = args[at + 4].getBytes();
            byte[] tail = args[at + 5].getBytes();
            byte[] body = new byte[Integer.parseInt(args[at + 3])];
            Arrays.fill(body, (byte) 'x');
            System.arraycopy(head, 0, body, 0, head.length);
            System.arraycopy(tail, 0, body, body.length - tail.length, tail.length);
            HttpRequest request = HttpRequest.newBuilder(URI.create(args[at]))
                    .version(HttpClient.Version.HTTP_1_1)
                    .header("authorization", "Bearer " + args[at + 1])
                    .header("content-type", args[at + 2])
                    .POST(HttpRequest.BodyPublishers.ofByteArray(body))
                    .build();
            try {
                HttpResponse<String> answer = client.send(request, HttpResponse.BodyHandlers.ofString());
                String wait = answer.headers().firstValue("retry-after").orElse("-");
                String told = answer.body().contains("\"error\"") ? "error" : "nothing";
                System.out.println(answer.statusCode() + " " + wait + " " + told);
            } catch (IOException error) {
                System.out.println("lost " + error);
            }
        }
    }
}
