# Prints the body of every POST on one line.
use strict;
use IO::Socket::INET;
$| = 1;
my $server = IO::Socket::INET->new(LocalPort => 8080, Listen => 16, ReuseAddr => 1) or die "no socket: $!";
while (my $peer = $server->accept) {
    my $length = 0;
    while (defined(my $line = <$peer>)) {
        $length = $1 if $line =~ /^content-length:\s*(\d+)/i;
        last if $line =~ /^\r?\n$/;
    }
    read $peer, my $body, $length;
    print "$body\n";
    print $peer "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    close $peer;
}
