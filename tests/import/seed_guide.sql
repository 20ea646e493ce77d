INSERT INTO dispatcher (setid, destination, flags, weight, description)
VALUES (1, 'sip:10.0.0.1:5060', 0, 50, 'Server 1');
VALUES (1, 'sip:10.0.0.2:5060', 0, 50, 'Server 2');
VALUES (1, 'sip:10.0.0.3:5060', 0, 50, 'Server 3');
