-- MySQL dump 10.13  Distrib 8.0.36, for Linux (x86_64)
DROP TABLE IF EXISTS `dispatcher`;
/*!40101 SET @saved_cs_client     = @@character_set_client */;
CREATE TABLE `dispatcher` (
  `id` int unsigned NOT NULL AUTO_INCREMENT,
  `setid` int NOT NULL DEFAULT '0',
  `destination` varchar(192) NOT NULL DEFAULT '',
  `flags` int NOT NULL DEFAULT '0',
  `priority` int NOT NULL DEFAULT '0',
  `attrs` varchar(128) NOT NULL DEFAULT '',
  `description` varchar(64) NOT NULL DEFAULT '',
  PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=latin1;
LOCK TABLES `dispatcher` WRITE;
INSERT INTO `dispatcher` VALUES (1,1,'sip:10.0.0.11:5060',0,0,'weight=50;duid=a','Bob\'s (old); box'),(2,1,'sip:10.0.0.12:5060',8,0,'weight=50;duid=b','');
UNLOCK TABLES;
INSERT INTO `address` VALUES (1,1,'10.0.0.11',32,5060,'x');
